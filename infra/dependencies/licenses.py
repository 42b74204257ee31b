"""Check every component of a software bill of materials (CycloneDX JSON) against the licenses of `policy.yaml`.

    python infra/dependencies/licenses.py sbom.json

Prints a table of package, version and license; exits with 1 where one is not allowed or not known.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from license_expression import ExpressionError, get_spdx_licensing

POLICY = Path(__file__).with_name("policy.yaml")
OWN = "lang1-assets"
SPDX = get_spdx_licensing()


def main(path: str) -> int:
    policy = yaml.safe_load(POLICY.read_text())
    components = json.loads(Path(path).read_text())["components"]
    problems = []
    for component in sorted(components, key=lambda one: one["name"].lower()):
        license_, problem = judge(component, policy)
        print(f"{component['name']:40} {component['version']:18} {license_ or '?'}")
        if problem is not None:
            problems.append(f"{component['name']} {component['version']}: {problem}")
    for problem in problems:
        print(f"NOT ALLOWED: {problem}", file=sys.stderr)
    print(f"{len(components)} packages, {len(problems)} whose license is not allowed or not known")
    return 1 if problems else 0


def judge(component: Mapping[str, Any], policy: Mapping[str, Any]) -> tuple[str, str | None]:
    """The component's license as an SPDX expression, and what is wrong with it.

    Args:
        component: as in CycloneDX: `name` and `licenses`.
    """
    name = component["name"].lower()
    if name == OWN:
        return "Apache-2.0", None
    by_hand = policy["packages"].get(name)
    if by_hand is not None:
        return by_hand["license"], _not_allowed(
            by_hand["license"], {*policy["allowed"], *policy["allowed_for_packages"]}
        )
    parts, unknown = _declared(component, policy["names"])
    expression = parts[0] if len(parts) == 1 else " AND ".join(f"({part})" if " " in part else part for part in parts)
    if unknown:
        return expression, f"'{unknown[0]}' is no SPDX id; add it to `names` of {POLICY.name}"
    if not parts:
        return "", f"its metadata has no license; read its license file and add it to `packages` of {POLICY.name}"
    return expression, _not_allowed(expression, set(policy["allowed"]))


def allows(expression: Any, allowed: set[str]) -> bool:
    """Whether one may use what has this license: of an OR one side is enough, of an AND both are needed."""
    if isinstance(expression, SPDX.OR):
        return any(allows(side, allowed) for side in expression.args)
    if isinstance(expression, SPDX.AND):
        return all(allows(side, allowed) for side in expression.args)
    return expression.render() in allowed


def _declared(component: Mapping[str, Any], names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """SPDX expressions that a component declares, all of which hold; and names that are none."""
    parts, unknown = [], []
    for declared in component.get("licenses", ()):
        said = declared.get("license", {})
        if "expression" in declared:
            parts.append(declared["expression"])
        elif "id" in said:
            parts.append(said["id"])
        elif said.get("name") in names:
            parts.append(names[said["name"]])
        else:
            unknown.append(str(said.get("name")))
    return sorted({part for part in parts if part}), unknown


def _not_allowed(expression: str, allowed: set[str]) -> str | None:
    try:
        return None if allows(SPDX.parse(expression, validate=True), allowed) else f"'{expression}' is not allowed"
    except ExpressionError as error:
        return f"'{expression}' is no SPDX expression ({error})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
