"""Known vulnerabilities of the pinned packages: `make audit`.

Asks pip-audit, in an environment of its own, about every line of constraints.txt. Fails on an
advisory. Where the registry has no advisories to give, or is out of reach, nothing was audited:
that is said, and does not fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOOL = "pip-audit==2.10.1"
# Seconds for a command; the registry may be slow or not there.
TIMEOUT = 300


def report(place: Path, constraints: Path) -> dict[str, Any]:
    """What pip-audit says, as its JSON.

    Args:
        place: of its environment.
        constraints: pinned packages, one a line.

    Raises:
        OSError, subprocess.SubprocessError: it could not be installed, or did not end.
    """
    python, output = place / "bin" / "python", place / "report.json"
    options = ["--no-deps", "--disable-pip", "--progress-spinner=off"]
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(python), "-m", "pip", "install", "--quiet", TOOL],
    ):
        subprocess.run(command, check=True, timeout=TIMEOUT, capture_output=True)
    output.unlink(missing_ok=True)
    audit = [str(python), "-m", "pip_audit", *options, "--requirement", str(constraints)]
    # Its exit code is 1 where it found something; the report says what.
    audit += ["--format=json", f"--output={output}"]
    subprocess.run(audit, check=False, timeout=TIMEOUT, capture_output=True)
    content: dict[str, Any] = json.loads(output.read_text("utf-8"))
    return content


def verdict(content: dict[str, Any]) -> tuple[list[str], bool]:
    """Lines to print about a report, and whether it has an advisory."""
    packages = content["dependencies"]
    skipped = [package for package in packages if "skip_reason" in package]
    found = [
        f"audit: {package['name']} {package['version']}: {one['id']},"
        f" mended in {', '.join(one['fix_versions']) or 'no version yet'}"
        for package in packages
        for one in package.get("vulns", ())
    ]
    checked = len(packages) - len(skipped)
    said = f"audit: {checked} of {len(packages)} packages looked up, {len(found)} advisories."
    if not checked:
        said = f"audit: NOT AUDITED: no advisory of {len(packages)} packages could be looked up."
    if skipped:
        said += f" First without an answer: {skipped[0]['skip_reason']}"
    return [*found, said], bool(found)


def main() -> None:
    try:
        content = report(ROOT / ".venv-audit", ROOT / "constraints.txt")
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        print(f"audit: NOT AUDITED: {TOOL} cannot be installed or asked: {error}")
        return
    lines, failed = verdict(content)
    print(*lines, sep="\n")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
