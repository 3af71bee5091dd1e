"""Bake files in HCL: those that are resolved as buildx resolves them, and those that only buildx resolves."""

from __future__ import annotations

from collections.abc import Mapping

EXPRESSIONS = (
    '"a"',
    '"a${V}b"',
    '"${V}"',
    '"${N}-${B}"',
    '"$${V} %%{if}"',
    r'"tab\t, quote\" and \\ and \u00e9"',
    '"${"${V}x"}y"',
    "1 + 2 * 3",
    "(1 + 2) * 3",
    "10 - 4 - 3",
    "7 / 2",
    "7 % 3",
    "-4 % 1",
    "-3 + 1",
    "1.5 * 2",
    "0.1 + 0.2",
    "1e3",
    'V == "v"',
    'V != "v" || B',
    'B && N > 2 ? "yes" : "no"',
    "!B ? 1 : 2",
    '"1" == 1',
    "null == null",
    'V == "" ? "empty" : "full-${V}"',
    'B ? "text" : 5',
    'B ? 5 : "text"',
    'upper("abc-${V}")',
    'lower("ABC")',
    'join(",", ["a", "b", V])',
    'join("-", ["a"], ["b", "c"])',
    'join("/", split(".", "1.2.3"))',
    'join(",", split("", "abc"))',
    'join(",", split(",", ""))',
    'replace("1.2.3", ".", "-")',
    'replace("aaa", "aa", "b")',
    'regex_replace("v1.2.3", "^v([0-9]+).*$", "$1")',
    'regex_replace("a_b_c", "_", "-")',
    'regex_replace("ab", "(a)(b)", "$2-$1")',
    'equal(V, "v") ? "same" : "other"',
    'notequal("", V) ? "set" : "unset"',
    "and(B, true)",
    "or(false, B)",
    "not(B)",
    'join(",", concat(["a"], ["b"], [V]))',
    'join(",", compact(["a", "", "b"]))',
    'join(",", distinct(["a", "b", "a"]))',
    'join(",", flatten([["a"], ["b", ["c"]]]))',
    'join(",", reverselist(["a", "b"]))',
    'join(",", sort(["b", "a", "C"]))',
    'join(",", slice(["a", "b", "c"], 1, 3))',
    'join(",", keys({ b = 1, a = 2 }))',
    'join(",", values({ b = "1", a = "2" }))',
    'join(",", [for x in ["a", "b"] : upper(x)])',
    'join(",", [for x in ["a", "b", "c"] : x if x != "b"])',
    'join(",", [for i, x in ["a", "b"] : "${i}${x}"])',
    'join(",", [for k, v in { b = "1", a = "2" } : "${k}=${v}"])',
    '{ for x in ["a", "b"] : x => upper(x) }["b"]',
    '["a", "b"][1]',
    '{ a = "x" }.a',
    '{ "a" = { b = "deep" } }.a.b',
    'length(["a", "b"])',
    'strlen("hello")',
    'substr("hello", 1, 3)',
    'substr("hello", 1, -1)',
    'trimprefix("v1.2", "v")',
    'trimsuffix("a.git", ".git")',
    'trimspace("  a b ")',
    'trim("xxaxx", "x")',
    'chomp("a\\n")',
    'reverse("abc")',
    'contains(["a", "b"], "b")',
    'contains(["a", "b"], "c")',
    'element(["a", "b"], 3)',
    'index(["a", "b"], 1)',
    'indexof(["a", "b"], "b")',
    'lookup({ a = "x" }, "a", "d")',
    'lookup({ a = "x" }, "b", "d")',
    'merge({ a = "x" }, { b = "y" }, { a = "z" }).a',
    'coalesce(null, "x")',
    'format("%s-%d-%v", "a", 5, "c")',
    'format("100%%")',
    "max(1, 5, 3)",
    "min(4, 2)",
    "add(1, 2)",
    "subtract(5, 7)",
    "multiply(2, 2.5)",
    "negate(4)",
    "greaterthan(2, 1)",
    "lessthan(2, 1)",
    "greaterthanorequalto(2, 2)",
    "lessthanorequalto(3, 2)",
    'join(",", [for n in range(3) : "${n}"])',
    'join(",", [for n in range(1, 4) : "${n}"])',
    'sanitize("a/b:c.d")',
    'jsonencode({ b = [1, true, null], a = "<x>" })',
    'md5("a")',
    'sha1("a")',
    'sha256("a")',
    'sha512("a")',
    'base64encode("hello")',
    'base64decode("aGVsbG8=")',
    'basename("/a/b/c.txt")',
    'zipmap(["a", "b"], ["1", "2"]).b',
    'join(",", concat(["a"], B ? ["b"] : []))',
    'join(",", B ? [] : ["b"])',
    'own("x")',
    'own(upper("y"))',
    'many("a", "b", "c")',
    "scale(4)",
    'join([",", ["p", "q"]]...)',
    '"<${join(", ", ["a", "b"])}>"',
)
"""Expressions over V (a text), N (a number) and B (a boolean), with the functions own, many and scale."""

SETTING = """\
variable "V" { default = "v" }
variable "N" { default = 3 }
variable "B" { default = true }
function "own" {
  params = [x]
  result = "<${x}${V}>"
}
function "many" {
  params          = [first]
  variadic_params = others
  result          = "${first}:${join("+", others)}"
}
function "scale" {
  params = [n]
  result = n * N
}
"""


def document(expressions: tuple[str, ...]) -> str:
    """Return a bake file whose target has these expressions as arguments."""
    lines = "".join(f"    A{number} = {text}\n" for number, text in enumerate(expressions))
    return f'{SETTING}target "default" {{\n  args = {{\n{lines}  }}\n}}\n'


FILES: Mapping[str, str] = {
    "expressions": document(EXPRESSIONS),
    "a usual file": """\
# comment
variable "TAG" {
  default = "dev"  // another
}
variable "REGISTRY" { default = "registry.example/acme" }
variable "PUSH" { default = null }
group "default" { targets = ["app", "tools"] }
/* a longer
   comment */
target "_common" {
  context = "."
  platforms = ["linux/amd64", "linux/arm64"]
  labels = { "org.example.version" = TAG }
}
target "app" {
  inherits = ["_common"]
  dockerfile = "Dockerfile.${TAG == "dev" ? "dev" : "app"}"
  tags = concat(["${REGISTRY}/app:${TAG}"], notequal("", TAG) ? ["${REGISTRY}/app:latest"] : [])
  args = {
    VERSION = TAG, "quoted" : "x"
    NOTHING = null
  }
}
target "tools" {
  inherits = ["_common"]
  target   = "tools"
  platforms = []
}
""",
    "a matrix": """\
target "default" {
  name = "app-${replace(version, ".", "-")}-${item.kind}"
  matrix = {
    version = ["1.0", "2.0"]
    item = [{ kind = "a", size = 1 }, { kind = "b", size = 2 }]
  }
  args = { V = version, S = item.size }
  tags = ["r.io/x:${version}-${item.kind}"]
}
""",
    "variables of variables": """\
variable "A" { default = "a" }
variable "B" { default = "${A}b" }
C = upper(B)
target "default" { args = { x = B, y = C } }
""",
    "one line and several": """\
target "default" { target = "x" }
target "default" {
  args = { a = "1" }
}
target "default" { args = { b = "2" } }
""",
    "heredocs": """\
target "default" {
  dockerfile-inline = <<EOT
FROM alpine
RUN echo \\n "${upper("x")}" $${HOME}
EOT
  args = {
    indented = <<-EOT
      first
        second ${1 + 1}
      third
    EOT
    plain = <<EOT
    kept
EOT
  }
}
""",
    "links": """\
target "default" { contexts = { base = "target:base" } }
target "base" { context = "base" }
""",
    "lists over several lines": """\
target "default" {
  tags = [
    "r.io/a:1",  # the first
    "r.io/a:2",
  ]
  args = {
    sum = (
      1 +
      2
    )
    call = join(
      ",",
      ["a", "b"],
    )
  }
}
""",
    "a name with a dash": """\
my-var = "x"
target "my-app" { args = { a = my-var } }
group "default" { targets = ["my-app"] }
""",
}
"""Files that are resolved as buildx resolves them."""

REFUSED: Mapping[str, tuple[str, str]] = {
    "a directive": ('"%{ if B }x%{ endif }"', "a template directive is not read without buildx"),
    "a splat": ('join(",", [{ a = "x" }][*].a)', "a splat is not read without buildx"),
    "the time": ("timestamp()", "`timestamp` gives another value with each run"),
    "an unknown function": ('uper("x")', "the function `uper` is not known without buildx"),
    "a list that is compared": ("[1] == [1] ? 1 : 2", "a list is not compared without buildx"),
    "letters beyond ASCII": ('upper("é")', "the text has letters beyond ASCII"),
    "a result without end": ("1 / 3", "the result has too many digits"),
    "a value of a target": ("target.default.context", "values of another target are not read without buildx"),
    "an unknown variable": ("X", "there is no variable `X`"),
    "a rich regular expression": ('regex_replace("a", "(?i)A", "b")', "is not read without buildx"),
    "the length of a mapping": ("length({ a = 1 })", "a mapping stands where a list is needed"),
    "too few arguments": ("upper()", "`upper` does not take 0 arguments"),
    "a text and a list": ('B ? "a" : ["a"]', "its two sides are a text and a list"),
}
"""Expressions that are refused, and the words for it."""
