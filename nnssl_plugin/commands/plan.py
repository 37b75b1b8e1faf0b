import argparse
from pathlib import Path
from typing import Any

from nnssl_plugin.errors import InputError
from nnssl_plugin.planning.plan_options import add_plan_options, copy_with_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin plan`."""
    parser.add_argument("-d", required=True, metavar="DATASET", help="id or name of the planned data set")
    parser.add_argument("-p", required=True, metavar="PLANS", help="plans to copy, e.g. nnUNetPlans")
    parser.add_argument(
        "-o",
        metavar="PLANS",
        help="name of the copy: one copy per run. Default: the source's name with SSL appended (CFB with --cfb)",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="settings to change in the copied plans, e.g. pretraining.epochs=20; may be repeated",
    )
    add_plan_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing plans file of that name")


def run(args: argparse.Namespace) -> int:
    """Write the copy and say what it holds."""
    from nnssl_plugin.files import write_json
    from nnssl_plugin.nnunet.environment import dataset_name
    from nnssl_plugin.nnunet.plans_file import load_plans, preprocessed_folder

    dataset = dataset_name(args.d)
    name = args.p + ("CFB" if args.cfb else "SSL") if args.o is None else args.o
    target = preprocessed_folder(dataset) / f"{name}.json"
    _check_name(name, args.p, target, args.overwrite)
    source = load_plans(dataset, args.p)
    copy = copy_with_options(source, name, args, args.set)
    classes = _classes(copy, target.parent)
    write_json(copy, target)
    print(f"{target}: {args.p} of {dataset}, same preprocessed data")
    _print_configurations(source, copy)
    _print_settings(copy)
    possible = _print_pretraining(copy, target.parent)
    for line in classes:
        print(line)
    trainer = "SSLClassifyTrainer" if args.classify else "SSLPretrainTrainer"
    _print_next(source, copy, target.parent, list(copy["configurations"]) if args.classify else possible, trainer)
    return 0


def _classes(copy: dict[str, Any], folder: Path) -> list[str]:
    """Number of cases of each class of the columns that SSLClassifyTrainer learns, and what a step sees; before anything is written."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnssl_plugin.classification.bag_size import bag_size
    from nnssl_plugin.classification.labels import case_classes
    from nnssl_plugin.files import read_json
    from nnssl_plugin.nnunet.dataset_json import channel_names, table_cases
    from nnssl_plugin.settings.settings import settings_from_plans

    settings = settings_from_plans(copy).classification
    if not settings.columns:
        return []
    dataset_json = read_json(folder / "dataset.json")
    found = case_classes(dataset_json, settings.columns, table_cases(dataset_json))
    lines = ["\nclassification:"]
    for position, (column, names) in enumerate(found.columns.items()):
        indices = [classes[position] for classes in found.of_case.values()]
        lines.append(f"  {column}: " + ", ".join(f"{name} {indices.count(index)}" for index, name in enumerate(names)))
    plans = PlansManager(copy)
    for name, entries in copy["configurations"].items():
        if "previous_stage" not in entries:
            size = bag_size(settings, plans.get_configuration(name), len(channel_names(dataset_json)))
            lines.append(
                f"  {name}: {size.cases} cases of {size.tiles} tiles a step, at {size.cost:.2f} times the cost of a supervised step"
            )
    return lines


def _check_name(name: str, source: str, target: Path, overwrite: bool) -> None:
    if not name or name != Path(name).name or name.endswith(".json") or "__" in name:
        raise InputError(f"-o {name!r}: a plans name has no folder, no .json and no '__' (where nnU-Net splits names)")
    if name == source:
        raise InputError(f"-o {name} is the name of the source; a copy needs its own")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists; name another copy with -o, or replace it with --overwrite")


def _print_configurations(source: dict[str, Any], copy: dict[str, Any]) -> None:
    from nnssl_plugin.nnunet.plans_file import configuration_of

    for name in copy["configurations"]:
        before, after = configuration_of(source, name), configuration_of(copy, name)
        network = after["architecture"]["arch_kwargs"]
        rows = {"patch": _sizes(after["patch_size"]), "batch": after["batch_size"]}
        if "strides" in network:
            rows["strides"] = " ".join(_sizes(stride) for stride in network["strides"])
            rows["features"] = " ".join(map(str, network["features_per_stage"]))
        print(f"\n{name}{'' if before != after else ' (as in the source)'}")
        for title, value in rows.items():
            print(f"  {title:9} {value}")


def _sizes(entries: list[int] | int) -> str:
    return "x".join(map(str, entries)) if isinstance(entries, list) else str(entries)


def _print_settings(copy: dict[str, Any]) -> None:
    from nnssl_plugin.settings.settings import known_settings, settings_from_plans

    defaults = known_settings()
    values = known_settings(section=settings_from_plans(copy))
    changed = [name for name in defaults if values[name] != defaults[name]]
    print("\nsettings other than the defaults:" if changed else "\nall settings have their defaults")
    for name in changed:
        print(f"  {name} = {values[name]} (default {defaults[name]})")


def _print_pretraining(copy: dict[str, Any], folder: Path) -> list[str]:
    """What `SSLPretrainTrainer` will do under each configuration, or why it cannot; returns those under which it can."""
    from nnssl_plugin.files import read_json
    from nnssl_plugin.pretraining.active_objectives import recipe_of
    from nnssl_plugin.pretraining.run import pretraining_run
    from nnssl_plugin.pretraining.step_budget import describe_budget
    from nnssl_plugin.settings.settings import settings_from_plans

    settings = settings_from_plans(copy).pretraining
    dataset_json = read_json(folder / "dataset.json")
    print("\npre-training: " + (recipe_of(settings) or "no objective"))
    possible = []
    for name, entries in copy["configurations"].items():
        if "previous_stage" in entries:
            continue
        try:
            budget = pretraining_run(copy, name, dataset_json, settings).budget
        except InputError as error:
            print(f"  {name}: not possible: {error}")
            continue
        possible.append(name)
        first, *notes = describe_budget(budget, settings)
        ours, supervised = budget.gigabytes
        print(
            f"  {name}: {first}; about {ours:.1f} GB of feature maps in mixed precision, where nnU-Net estimates "
            f"{supervised:.1f} GB for the supervised step"
        )
        for note in notes:
            print(f"    {note}")
    return possible


def _print_next(source: dict[str, Any], copy: dict[str, Any], folder: Path, possible: list[str], trainer: str) -> None:
    # Those that inherit, like a cascade, share the data and the fate of their parent.
    own = {name: entries for name, entries in copy["configurations"].items() if "inherits_from" not in entries}
    preprocessed = [name for name, entries in own.items() if (folder / entries["data_identifier"]).is_dir()]
    usable = [name for name in preprocessed if name in possible]
    resized = [name for name in usable if own[name] != source["configurations"][name]]
    number, name = folder.name[7:10], copy["plans_name"]
    if usable:
        print(f"\nnext: nnUNetv2_train {number} {(resized or usable)[-1]} 0 -p {name} -tr {trainer}")
    elif not preprocessed:
        print(f"\nnext: nnUNetv2_preprocess -d {number} -plans_name {name} -c {' '.join(own)}")
