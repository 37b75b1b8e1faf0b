import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(args: argparse.Namespace) -> int:
    """Print what was found; the exit code is 1 where something is wrong."""
    from nnssl_plugin.doctor.datasets import datasets
    from nnssl_plugin.doctor.folders import folders
    from nnssl_plugin.doctor.machine import machine
    from nnssl_plugin.doctor.versions import versions

    findings = [*versions(), *folders(), *machine(), *datasets()]
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        print(f"{finding.state:7}  {finding.subject:{width}}  {finding.text}")
        if finding.mend and finding.state != "ok":
            print(f"{'':7}  {'':{width}}  → {finding.mend}")
    wrong = sum(finding.state == "wrong" for finding in findings)
    print(f"\n{wrong} of {len(findings)} checks found a problem" if wrong else "\nnothing is wrong")
    return 1 if wrong else 0
