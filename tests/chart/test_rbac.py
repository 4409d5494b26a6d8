"""What the chart grants, what `rights.py` lists and what the code can ask for are the same set, verb by verb.

The code's side is read out of it: the calls through `KubeApi` from the source's syntax trees, the watched
kinds from kopf's registry. A new call fails here until it stands in `rights.py` and in the role.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import plimsoll_operator
from builders.chart import EVERYTHING, VALUE_SETS, Object, render
from builders.granted import granted, named
from plimsoll_operator import handlers
from plimsoll_operator.actuate import api
from plimsoll_operator.leader import LEASE_NAME
from plimsoll_operator.place.gate import GATE
from plimsoll_operator.rights import RIGHTS, SWEEPER_RIGHTS, WATCHED, SingleRight, rights

SOURCE = Path(plimsoll_operator.__path__[0])
SOURCES = {
    "metrics-api": ("metrics-api", False),
    "kubelet": ("kubelet", False),
    "kubelet through the API server": ("kubelet", True),
    "prometheus": ("prometheus", False),
}
# How a method of `KubeApi` is authorised: verb and subresource.
AUTHORISED = {
    "read": ("get", ""),
    "create": ("create", ""),
    "replace": ("update", ""),
    "patch_status": ("patch", "/status"),
    "count": ("list", ""),
    "page": ("list", ""),
    "delete": ("delete", ""),
}
# Arguments that are no constant, and the constants they stand for.
STANDS_FOR = {
    ("keeping.py", "resource"): (api.POLICIES, api.CLUSTER_POLICIES),
    ("handlers.py", "resource"): tuple(handlers.COUNTED.values()),
    ("owners.py", "resource"): (),  # kinds that only the user knows: rbac.ownerKinds
}
# The protocol and its wrapper pass on what others ask for.
PASS_ON = {"actuate/api.py", "fence.py"}


def of_chart(values: Object) -> list[SingleRight]:
    rendered = render(values)
    cluster = granted(rendered.one("ClusterRole", "-operator")["rules"], "cluster")
    own = granted(rendered.one("Role", "-operator")["rules"], "own namespace")
    return [*cluster, *own]


@pytest.mark.parametrize("source", SOURCES)
def test_the_chart_grants_what_the_table_lists_and_nothing_else(source: str):
    usage_source, node_proxy = SOURCES[source]
    settings = {
        "usageSource": usage_source,
        "nodeProxy": node_proxy,
        "prometheusUrl": "http://prometheus:9090",
    }
    found = of_chart({"operator": {"settings": settings}})
    assert set(found) == rights(usage_source=usage_source, node_proxy=node_proxy)
    assert len(found) == len(set(found)), "a right is granted twice"


def test_tokens_are_reviewed_only_where_agents_attend():
    found = of_chart({"coordination": {"enabled": True}})
    assert set(found) == rights(usage_source="metrics-api", node_proxy=False, agents=True)


GATES = {"placement": {"gates": {"enabled": True}}}


def test_pods_are_patched_only_where_they_may_be_held():
    assert set(of_chart(GATES)) == rights(usage_source="metrics-api", node_proxy=False, gates=True)
    rendered = render(GATES)
    given = set(granted(rendered.one("ClusterRole", "-sweeper")["rules"], "cluster"))
    assert given == {each for right in SWEEPER_RIGHTS for each in right.single()}
    assert rendered.bound_accounts == {"plimsoll-operator", "plimsoll-sweeper"}
    written = {(each.resource, each.verb) for each in given if each.verb not in WATCHED}
    assert written == {("pods", "patch")}


def test_who_may_patch_pods_may_lift_our_gate_and_change_nothing_else():
    policy = render(GATES).one("ValidatingAdmissionPolicy", "-gates-only")["spec"]
    (rule,) = policy["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"]) == (["pods"], ["UPDATE"])
    (ours,) = policy["matchConditions"]
    accounts = {f"system:serviceaccount:plimsoll-system:plimsoll-{part}" for part in ("operator", "sweeper")}
    assert all(each in ours["expression"] for each in accounts)
    assert f'"{GATE}"' in policy["validations"][-1]["expression"]
    assert policy["failurePolicy"] == "Fail"
    assert render(GATES).one("ValidatingAdmissionPolicyBinding")["spec"]["validationActions"] == ["Deny"]


def test_the_sweeper_asks_for_what_its_table_lists():
    source = ast.parse((SOURCE / "place/sweeper.py").read_text())
    asked = {
        each.args[0].value
        for each in ast.walk(source)
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr == "_call"
    }
    assert asked == {"GET", "PATCH"}
    paths = {
        each.value for each in ast.walk(source) if isinstance(each, ast.Constant) and _is_path(each.value)
    }
    assert paths == {"/api/v1/pods?", "/api/v1/namespaces/"}


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/api")


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS)
def test_nothing_is_granted_wholesale(values: Object):
    rendered = render(values)
    for kind in ("ClusterRole", "Role"):
        for rule in (rule for role in rendered.of_kind(kind) for rule in role["rules"]):
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
            assert "secrets" not in rule["resources"]


def calls() -> Iterator[tuple[str, str, ast.expr | None]]:
    """(module, method, first argument) of every call of a `KubeApi` method on something called `api`."""
    for path in sorted(SOURCE.rglob("*.py")):
        module = str(path.relative_to(SOURCE))
        if module in PASS_ON or module.startswith("observe/"):
            continue
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
                owner = each.func.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                if name.lstrip("_") == "api":
                    yield module, each.func.attr, each.args[0] if each.args else None


KUBE_APIS = {"KubeApi", "KubernetesApi", "FencedApi"}


def is_api(value: ast.AST) -> bool:
    """Whether it is an `api` already, or one that is made here."""
    if isinstance(value, ast.Await):
        return is_api(value.value)
    if isinstance(value, ast.Call):
        made = value.func
        return bool({named(made), named(getattr(made, "value", made))} & KUBE_APIS)
    return named(value) == "api"


def api_under_other_names(tree: ast.AST) -> Iterator[str]:
    """Names other than `api` that hold a `KubeApi`: by annotation, by assignment from one."""
    for each in ast.walk(tree):
        if isinstance(each, ast.arg | ast.AnnAssign) and each.annotation:
            kinds = {named(part) for part in ast.walk(each.annotation)}
            name = each.arg if isinstance(each, ast.arg) else named(each.target)
            if kinds & KUBE_APIS:
                yield name.lstrip("_")
        elif isinstance(each, ast.Assign | ast.NamedExpr):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            for target in targets:
                pairs = [(target, each.value)]
                if isinstance(target, ast.Tuple) and isinstance(each.value, ast.Tuple):
                    pairs = list(zip(target.elts, each.value.elts, strict=True))
                yield from (named(left) for left, right in pairs if is_api(right))


def test_every_caller_of_the_api_calls_it_so_and_the_reader_of_calls_sees_all():
    found = {
        (str(path.relative_to(SOURCE)), name)
        for path in SOURCE.rglob("*.py")
        if path.parent.name != "observe"
        for name in api_under_other_names(ast.parse(path.read_text()))
    }
    assert len(found) > 10
    assert {each for each in found if each[1] != "api"} == {("assemble.py", "fenced")}
    assert "fenced." not in (SOURCE / "assemble.py").read_text()  # handed on, and called by nobody here
    aliased = "def keep(client: KubeApi):\n  other, n = self._api, 1\n  new = await KubernetesApi.connect()"
    assert set(api_under_other_names(ast.parse(aliased))) == {"client", "other", "new"}


SPEAK_HTTP = {
    "actuate/api.py": "KubeApi itself",
    "clock.py": "to whoever tells the time in a test or a demo",
    "engine/past.py": "to Prometheus",
    "place/sweeper.py": "test_the_sweeper_asks_for_what_its_table_lists",
}


def test_nobody_else_speaks_to_the_api_server():
    names = r"aiohttp$|httpx|kubernetes\.(?:aio\.)?client|urllib\.request|http\.client|requests"
    clients = re.compile(rf"^\s*(?:import|from) (?:{names})", re.MULTILINE)
    found = {
        str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if clients.search(path.read_text())
    }
    assert {each for each in found if not each.startswith("observe/")} == SPEAK_HTTP.keys()


def asked_for() -> Iterator[tuple[str, str, str]]:
    """(group, resource, verb) of every call the code can make through `KubeApi`."""
    for module, method, argument in calls():
        if method == "resize":
            yield "", "pods/resize", "patch"
        elif method == "evict":
            yield "", "pods/eviction", "create"
        elif method == "lift_gate":
            yield "", "pods", "patch"
        elif method in AUTHORISED:
            verb, subresource = AUTHORISED[method]
            assert isinstance(argument, ast.Name), f"{module}: {method} of something unnamed"
            constants = STANDS_FOR.get((module, argument.id))
            for each in (getattr(api, argument.id),) if constants is None else constants:
                yield each.group, f"{each.plural}{subresource}", verb
        else:
            # Open to every account (system:discovery, system:public-info-viewer), or no request at all.
            assert method in {"version", "read_path", "close", "check"}, f"{module}: api.{method}"


# Sources of usage speak HTTP themselves. Path in their code -> what it is authorised as, and for which need.
OF_SOURCES = {
    "/api/v1/nodes": (("", "nodes", "list"), "always"),
    "/api/v1/nodes/{}/proxy": (("", "nodes/proxy", "get"), "kubelet through the API server"),
    "/apis/metrics.k8s.io/v1beta1": (("metrics.k8s.io", "pods", "list"), "metrics-api"),
    "/stats/summary": (("", "nodes/stats", "get"), "kubelet"),
    "/metrics/resource": (("", "nodes/metrics", "get"), "kubelet"),
}


def paths() -> Iterator[str]:
    """Every text in observe/ that is a path, with `{}` for what is filled in."""
    for path in (SOURCE / "observe").rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            parts = each.values if isinstance(each, ast.JoinedStr) else [each]
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}"
                for part in parts
                if isinstance(part, (ast.Constant, ast.FormattedValue))
            )
            if text.startswith(("/api", "/stats", "/metrics")) and not any(char in text for char in " \n"):
                yield text


def test_the_table_lists_what_the_sources_of_usage_ask_for():
    pieces = {"/api/v1/nodes/", "/api/v1/"}  # of texts that are put together; the latter is Prometheus' own
    assert set(paths()) - pieces == OF_SOURCES.keys()
    listed = {((r.group, r.resource, verb), r.needed) for r in RIGHTS for verb in r.verbs}
    assert set(OF_SOURCES.values()) <= listed
    assert {each for each in listed if each[1] not in ("always", "agents", "gates")} <= set(
        OF_SOURCES.values()
    )


def watched() -> Iterator[tuple[str, str, str]]:
    """What kopf lists and watches for our indices, and to learn which kinds there are."""
    registry = handlers.registry(handlers.Hooks(), "plimsoll-system")
    for selector in registry._indexing.get_all_selectors():
        for verb in ("list", "watch"):
            yield selector.group, selector.any_name or selector.plural, verb
    yield from (("apiextensions.k8s.io", "customresourcedefinitions", verb) for verb in ("list", "watch"))


def test_the_table_lists_what_the_code_asks_for_and_nothing_else():
    listed = {
        (each.group, each.resource, each.verb)
        for right in RIGHTS
        if right.needed in ("always", "agents", "gates")
        for each in right.single()
    }
    assert listed == {*asked_for(), *watched()}


def test_names_narrow_what_is_asked_for_by_name():
    by_name = {(each.resource, each.names) for each in RIGHTS if each.names}
    assert by_name == {("configmaps", (handlers.CONTROL_CONFIG_MAP,)), ("leases", (LEASE_NAME,))}


@pytest.mark.parametrize("create", [True, False])
def test_policies_that_narrow_are_made_whoever_makes_the_roles(create: bool):
    values = {**GATES, "agent": {"act": {"enabled": True}}, "rbac": {"create": create}}
    rendered = render(values)
    names = {"plimsoll-agent-own-node", "plimsoll-sweeper-gates-only"}
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        assert {each["metadata"]["name"] for each in rendered.of_kind(kind)} == names
    assert (rendered.bound_accounts == set()) is not create
    assert (rendered.of_kind("ClusterRole") == []) is not create


def test_owner_kinds_are_read_only():
    extra = set(of_chart(EVERYTHING)) - rights(usage_source="prometheus", node_proxy=False, gates=True)
    assert extra == {SingleRight("cluster", "example.com", "fleets", "get")}
