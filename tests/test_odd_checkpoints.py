"""`show`, `export` and `import-nnssl` on files whose optional metadata are anything at all."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint, save_atomically
from nnssl_plugin.checkpoints.description import describe
from nnssl_plugin.checkpoints.recorded import recorded_citations
from nnssl_plugin.cli import main
from nnssl_plugin.errors import InputError
from tests.test_export_command import export, folder, import_nnssl, write_checkpoint, write_nnssl  # noqa: F401

ODD = [None, "text", "", 3, 0.5, True, [], ["a", None, 5], {}, {"x": None}, (1, 2), torch.zeros(2), [[{}]], {"0": None}]


def places(content: Any, depth: int = 4, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something else could stand: every key at every depth but the weights themselves."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in entries:
        if key != "network_weights":
            yield (*prefix, key)
            if depth:
                yield from places(value, depth - 1, (*prefix, key))


def changed(content: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    *sections, last = place
    copy = {key: item if key == "network_weights" else deepcopy(item) for key, item in content.items()}
    section: Any = copy
    for name in sections:
        section = section[name]
    section[last] = value
    return copy


def exported(folder: Path) -> dict[str, Any]:  # noqa: F811
    write_checkpoint(folder / "source.pth", ["T1", "T1c", "T2", "FLAIR"])
    assert export(folder / "source.pth", "-o", folder / "exported.pth") == 0
    return read_checkpoint(folder / "exported.pth")


def of_nnunet(folder: Path) -> dict[str, Any]:  # noqa: F811
    write_checkpoint(folder / "source.pth", ["T1", "T1c", "T2", "FLAIR"])
    return read_checkpoint(folder / "source.pth")


def of_nnssl(folder: Path) -> dict[str, Any]:  # noqa: F811
    write_nnssl(folder / "source.pth")
    return {**read_checkpoint(folder / "source.pth"), "init_args": {"plan": {}}, "trainer_name": "BaseMAETrainer"}


@pytest.mark.parametrize("made", [exported, of_nnunet, of_nnssl])
def test_show_reads_whatever_stands_beside_the_weights(
    folder: Path,  # noqa: F811
    made: Callable[[Path], dict[str, Any]],
) -> None:
    content = made(folder)
    for place in places(content):
        for value in ODD:
            lines = describe(changed(content, place, value))
            assert " 3d U-Net, features 4 8 16" in lines[0], (place, value)


@pytest.mark.parametrize("value", ODD, ids=str)
def test_nnssl_weights_are_imported_whatever_stands_beside_them(folder: Path, value: Any) -> None:  # noqa: F811
    content, file, out = of_nnssl(folder), folder / "odd.pth", folder / "out.pth"
    optional = [(key,) for key in ("citations", "init_args", "trainer_name", "nnssl_plugin")]
    plan = content["nnssl_adaptation_plan"]
    optional += [("nnssl_adaptation_plan", key) for key in plan if key not in ("key_to_encoder", "key_to_stem")]
    for place in optional:
        torch.save(changed(content, place, value), file)
        assert import_nnssl(file, out) == 0, place
        assert main(["show", str(out)]) == 0
        out.unlink()


@pytest.mark.parametrize("value", ODD, ids=str)
def test_what_is_needed_is_asked_for(folder: Path, value: Any, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    content, file, out = of_nnssl(folder), folder / "odd.pth", folder / "out.pth"
    for place in [("nnssl_adaptation_plan",), ("nnssl_adaptation_plan", "key_to_encoder")]:
        torch.save(changed(content, place, value), file)
        assert import_nnssl(file, out) == 2, place
        assert capsys.readouterr().err.count("nnssl_plugin import-nnssl: error:") == 1
    content = of_nnunet(folder)
    for place in [("init_args",), ("init_args", "dataset_json"), ("init_args", "dataset_json", "channel_names")]:
        torch.save(changed(content, place, value), file)
        assert export(file, "-o", out) == 2, place
        assert capsys.readouterr().err.count("nnssl_plugin export: error:") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("stored", "papers"),
    [
        (None, []),
        ("", []),
        ("One 2020.", ["One 2020."]),
        (["One 2020.", "Two 2021.", None, 5], ["One 2020.", "Two 2021."]),
        ({"apa_citations": "One 2020."}, ["One 2020."]),
        ([{"apa_citations": ["One 2020."], "bibtex_citations": ["@a"]}, "Two 2021."], ["One 2020.", "Two 2021."]),
        ([{"apa_citations": [], "bibtex_citations": ["@a", None]}], ["@a"]),
        ([{"apa_citations": None, "name": "MAE"}], []),
    ],
)
def test_papers_are_shown_and_handed_on(
    folder: Path,  # noqa: F811
    stored: Any,
    papers: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, out = folder / "source.pth", folder / "out.pth"
    torch.save({**of_nnssl(folder), "citations": stored}, file)
    assert import_nnssl(file, out) == 0
    for path in (file, out):
        capsys.readouterr()
        assert main(["show", str(path)]) == 0
        shown = capsys.readouterr().out
        assert ([line.strip() for line in shown.partition("please cite:\n")[2].splitlines()]) == papers
    assert recorded_citations(read_checkpoint(out)) == recorded_citations(read_checkpoint(file))


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("in_plan", [False, True])
def test_weights_are_found_inside_wrappers(folder: Path, wrapper: str, in_plan: bool) -> None:  # noqa: F811
    content, file, out = of_nnssl(folder), folder / "wrapped.pth", folder / "out.pth"
    plain = content["network_weights"]
    content["network_weights"] = {f"{wrapper}{name}": value for name, value in plain.items()}
    if in_plan:
        plan = content["nnssl_adaptation_plan"]
        plan.update({key: f"{wrapper}{plan[key]}" for key in ("key_to_encoder", "key_to_stem")})
    torch.save(content, file)
    assert import_nnssl(file, out) == 0
    assert read_checkpoint(out)["nnssl_plugin"]["provenance"]["transferred"] == {"encoder": 1.0, "decoder": 1.0}
    nnunets = of_nnunet(folder)
    nnunets["network_weights"] = {f"{wrapper}{name}": value for name, value in nnunets["network_weights"].items()}
    torch.save(nnunets, file)
    out.unlink()
    assert export(file, "-o", out) == 0
    assert read_checkpoint(out)["nnssl_plugin"]["provenance"]["transferred"] == {"encoder": 1.0, "decoder": 1.0}


@pytest.mark.parametrize("changes", [{"spark_weights": {}}, {"trainer_name": "SparkMAETrainer_BS8_1000ep"}])
def test_spark_checkpoints_without_plan_are_told_what_to_do(
    folder: Path,  # noqa: F811
    changes: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = {**of_nnssl(folder), **changes}
    del content["nnssl_adaptation_plan"]
    torch.save(content, folder / "spark.pth")
    assert import_nnssl(folder / "spark.pth", folder / "out.pth") == 2
    error = capsys.readouterr().err
    assert "Spark trainers write none" in error
    assert "add_adaptation_plan.py" in error
    assert "-key_to_encoder encoder.stages" in error


def test_a_full_disk_is_named_and_leaves_nothing(
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, out = folder / "source.pth", folder / "out.pth"
    write_checkpoint(source, ["T1", "T1c", "T2", "FLAIR"])
    real = torch.save
    before = {path.name for path in folder.iterdir()}
    # Unbuffered: closing it has nothing left to write.
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(torch, "save", lambda content, file, **options: real(content, full, **options))
        with pytest.raises(OSError, match=r"No space left on device: '.*w\.pth'"):
            save_atomically({"network_weights": {"a": torch.zeros(100000)}}, folder / "w.pth")
        assert export(source, "-o", out) == 2
    error = capsys.readouterr().err
    assert f"No space left on device: '{out}'" in error
    assert {path.name for path in folder.iterdir()} == before


def test_weights_under_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    torch.save({"network_weights": {1: torch.zeros(1)}}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="has no 'network_weights'"):
        read_checkpoint(tmp_path / "w.pth")
