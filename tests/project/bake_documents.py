"""JSON bake files that buildx and we both resolve, for a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Bake files by name, what is asked for, and the environment."""

    files: Mapping[str, Json]
    wanted: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def one(document: Json, *wanted: str, **environment: str) -> Case:
    return Case(files={"docker-bake.json": document}, wanted=wanted, environment=environment)


def default(**target: Any) -> Json:
    return {"target": {"default": target}}


def variables(**defaults: Any) -> Json:
    return {"variable": {name: {} if value is ... else {"default": value} for name, value in defaults.items()}}


MATRIX: Json = {
    "target": {
        "m": {
            "name": "m-${x}-${y.n}",
            "matrix": {"x": ["1", 2], "y": [{"n": "a", "v": "q", "t": ["r.io/a:1"]}, {"n": "b", "v": "r", "t": []}]},
            "target": "${x}",
            "args": {"v": "${y.v}", "${y.n}": "key"},
            "tags": "${y.t}",
        }
    }
}
PARENTS: Json = {
    "target": {
        "default": {"inherits": ["a", "b"], "args": {"x": None, "y": "d"}, "contexts": {"gone": ""}},
        "a": {"args": {"x": "a", "z": "a"}, "tags": ["a:1"], "contexts": {"q": "./q", "gone": "here"}},
        "b": {
            "inherits": ["c"],
            "args": {"x": "b"},
            "tags": [],
            "contexts": {"q": ""},
            "platforms": ["linux/amd64"] * 2,
        },
        "c": {"context": "c", "dockerfile": "D", "target": "t", "labels": {"l": "1"}, "no-cache": True},
    }
}
FIRST: Json = {
    **variables(A="1", B="1"),
    "group": {"g": {"targets": ["p"]}},
    "target": {
        "default": {"args": {"x": "${A}", "y": "1"}, "tags": ["a"], "inherits": ["p"]},
        "p": {"target": "p"},
        "q": {"context": "q"},
    },
}
SECOND: Json = {
    **variables(A="2"),
    "B": "2",
    "group": {"g": {"targets": ["q"]}},
    "target": {"default": {"args": {"y": "2", "z": "${B}"}, "tags": ["b"], "inherits": ["q"]}},
}

CASES: Mapping[str, Case] = {
    "an empty target": one(default()),
    "numbers": one(
        default(args={"a": 1.50, "b": 1e3, "c": 123456789012345678901234567890, "d": 1e-7, "e": -0.0, "f": 1e25})
    ),
    "booleans and null": one(default(args={"a": True, "b": False, "c": None}, target=None, tags=None, context=None)),
    "numbers as texts": one(default(target=5, tags=[1, True], context=1.5)),
    "empty everything": one(default(tags=[], args={}, context="", contexts={}, platforms=[], dockerfile="")),
    "escapes": one(
        {
            **variables(V="v"),
            **default(
                args={
                    "a": "$${x}",
                    "b": "$$x",
                    "c": "$",
                    "d": "%%{x}",
                    "e": "%",
                    "f": "$$${V}",
                    "g": "$$$${V}",
                    "h": "%%%%{V}",
                    "i": "$ {V}",
                    "j": "${V}$",
                    "k": "$${V}${V}",
                    "l": "${ V }",
                    "m": "${\nV\n}",
                    "n": "${V}}",
                    "o": "é${V}\n",
                    "p": "$V",
                }
            ),
        }
    ),
    "templates in keys": one({**variables(V="v"), **default(args={"${V}x": "1", "$${V}y": "2"})}),
    "a list from a variable": one({**variables(L=["a:1", "b:1"]), **default(tags="${L}")}),
    "a mapping from a variable": one({**variables(M={"x": "1", "y": 2}), **default(args="${M}")}),
    "attributes of a variable": one(
        {**variables(O={"x": "1", "y": {"z": 2}}), **default(args={"n": "${O.x}${O.y.z}"})}
    ),
    "a variable without a default": one({**variables(V=...), **default(target="x${V}")}),
    "a variable whose default is null": one({**variables(V=None), **default(target="${V}", args={"v": "${V}"})}),
    "a name with a dash": one({"variable": {"a-b": {"default": "1"}}, **default(target="${a-b}")}),
    "variables of variables": one({**variables(A="${B}-a", B="${C}", C="c"), **default(target="${A}")}, C="env"),
    "the environment by type": one(
        {
            **variables(N=5, B=True, S="s", E="s", X=..., Z=None),
            **default(args={"n": "${N}", "b": "${B}", "s": "${S}", "e": "${E}", "x": "${X}", "z": "${Z}"}),
        },
        N="1.50",
        B="F",
        S="t",
        E="",
        X="x",
        Z="z",
    ),
    "a number like 1e3 in the environment": one({**variables(N=5), **default(target="${N}")}, N="1e3"),
    "a JSON variable of the environment": one({**variables(N="a"), **default(target="${N}")}, N_JSON='"q"'),
    "assignments": one({**variables(T="x"), "T": "over", "U": "u", **default(args={"t": "${T}", "u": "${U}"})}),
    "assignments and the environment": one(
        {**variables(T="x"), "T": "over", "U": "u", **default(args={"t": "${T}", "u": "${U}"})}, T="env", U="env"
    ),
    "groups in groups": one(
        {
            "group": {"default": {"targets": ["b", "g"]}, "g": {"targets": ["c", "a", "b"]}},
            "target": {"a": {}, "b": {}, "c": {}, "d": {}},
        }
    ),
    "a group and a target by name": one(
        {"group": {"default": {"targets": ["a"]}, "g": {"targets": ["c"]}}, "target": {"a": {}, "b": {}, "c": {}}},
        "g",
        "b",
    ),
    "a group from a variable": one(
        {**variables(L=["b"]), "group": {"default": {"targets": "${L}"}}, "target": {"b": {}}}
    ),
    "a group without targets": one({"group": {"default": {"targets": []}}, "target": {"b": {}}}),
    "a group called as a target": one({"group": {"default": {"targets": ["b"]}}, "target": {"b": {}, "default": {}}}),
    "a group with the target of its name": one(
        {"group": {"default": {"targets": ["default"]}}, "target": {"default": {}}}
    ),
    "a dot in a wanted name": one({"target": {"a_b": {}}}, "a.b"),
    "inheritance": one(PARENTS),
    "a parent by matrix": one({"target": {"default": {"inherits": ["m-1-b"]}, **MATRIX["target"]}}),
    "a matrix": one(MATRIX, "m"),
    "one of a matrix": one(MATRIX, "m-2-a"),
    "a matrix in a group": one({**MATRIX, "group": {"default": {"targets": ["m"]}}}),
    "a matrix of variables": one(
        {
            **variables(L=["1", "2"], W="w"),
            "target": {"m": {"name": "x${q}", "matrix": {"q": "${L}", "w": ["${W}"]}, "target": "${w}"}},
        },
        "m",
    ),
    "a matrix that hides a variable": one(
        {**variables(q="v"), "target": {"m": {"name": "x${q}", "matrix": {"q": ["1"]}, "target": "${q}"}}}, "m"
    ),
    "a matrix of a mapping": one({"target": {"m": {"name": "x${q}", "matrix": {"q": {"a": "1", "b": True}}}}}, "m"),
    "a matrix of one without a name": one({"target": {"m": {"matrix": {"q": ["1"]}, "target": "${q}"}}}, "m"),
    "an empty matrix": one({"target": {"m": {"name": "x", "matrix": {}}}}, "m"),
    "linked targets": one({"target": {"default": {"contexts": {"b": "target:b"}}, "b": {"target": "b"}}}),
    "linked and wanted targets": one(
        {"target": {"default": {"contexts": {"b": "target:b"}}, "b": {"contexts": {"c": "target:c"}}, "c": {}}},
        "default",
        "b",
    ),
    "other folders": one(
        default(context="../x/./y", dockerfile="../D", contexts={"a": "/abs", "b": "docker-image://c"})
    ),
    "two files": Case(files={"docker-bake.json": FIRST, "docker-bake.override.json": SECOND}, wanted=("default", "g")),
    "two files with a matrix": Case(
        files={"docker-bake.json": MATRIX, "docker-bake.override.json": {"target": {"m-1-a": {"tags": ["over:1"]}}}},
        wanted=("m",),
    ),
    "blocks in lists": one(
        {"target": [{"default": [{"target": "a"}, {"context": "b"}]}, {"default": {"dockerfile": "D"}}]}
    ),
    "comments": one({"//": "c", "target": {"default": {"//": "x", "target": "a"}}}),
    "keys that are passed over": one(
        default(
            output=["type=registry"], pull=True, attest=["type=sbom"], description="d", **{"cache-to": ["type=inline"]}
        )
    ),
    "keys that are not expressed": one(default(**{"dockerfile-inline": "FROM scratch"})),
    "what the build is told": one(
        default(
            labels={"a": "b", "e": ""},
            network="none",
            annotations=["a=b", "index:c=d"],
            ulimits=["nofile=1:1"],
            entitlements=["network.host"],
            secret=["id=a,src=/dev/null", "type=file,id=b,source=/dev/null", {"id": "c", "env": "HOME"}],
            **{
                "no-cache": True,
                "no-cache-filter": ["x"],
                "shm-size": "1g",
                "extra-hosts": {"a": "1.1.1.1"},
                "cache-from": ["r.io/a:b", "type=gha,scope=s", {"type": "registry", "ref": "r.io/c"}],
                "cache-to": ["type=inline", "type=registry,mode=max,ref=r.io/d"],
            },
        )
    ),
    "what the build is told, inherited": one(
        {
            "target": {
                "p": {
                    "labels": {"a": "b", "c": "d"},
                    "secret": ["id=a,env=HOME"],
                    "cache-from": ["r.io/a:b"],
                    "cache-to": ["r.io/a:b"],
                    "ulimits": ["nofile=1:1"],
                    "extra-hosts": {"a": "1.1.1.1"},
                    "entitlements": ["network.host"],
                    "no-cache": True,
                },
                "default": {
                    "inherits": ["p"],
                    "labels": {"a": "x"},
                    "secret": ["id=b,env=HOME"],
                    "cache-from": ["r.io/c:d"],
                    "cache-to": ["r.io/c:d"],
                    "ulimits": ["nproc=1:1"],
                    "extra-hosts": {"b": "1.1.1.1"},
                    "entitlements": ["security.insecure"],
                    "no-cache": False,
                },
            }
        }
    ),
    "keys that are switched off": one(
        default(labels={}, network="default", annotations=[], ulimits=[], **{"no-cache": False, "no-cache-filter": []})
    ),
}
