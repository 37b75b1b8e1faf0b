import platform
from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

from nnssl_plugin.doctor.finding import Finding
from nnssl_plugin.nnunet.environment import FIRST_UNTESTED, OLDEST

PACKAGES = ("nnssl_plugin", "torch", "batchgenerators", "batchgeneratorsv2", "dynamic-network-architectures")


def versions() -> list[Finding]:
    """Python, nnU-Net and what decides how both work."""
    findings = [Finding("Python", "ok", f"{platform.python_version()} on {platform.system()}"), _nnunet()]
    for package in PACKAGES:
        try:
            findings.append(Finding(package, "ok", version(package)))
        except PackageNotFoundError:
            findings.append(Finding(package, "wrong", "not installed", f"pip install {package}"))
    return findings


def _nnunet() -> Finding:
    tested = f">={OLDEST},<{FIRST_UNTESTED}"
    mend = f"pip install 'nnunetv2{tested}'"
    try:
        installed = version("nnunetv2")
    except PackageNotFoundError:
        return Finding("nnU-Net", "wrong", "not installed", mend)
    if Version(installed) < Version(OLDEST):
        return Finding("nnU-Net", "wrong", f"{installed} is older than {OLDEST}", mend)
    if Version(installed) >= Version(FIRST_UNTESTED):
        return Finding("nnU-Net", "warning", f"{installed} is newer than what was tested ({tested})", mend)
    return Finding("nnU-Net", "ok", installed)
