"""Reads SQL and reports which statements reach a table of tenants without saying whose rows they mean.

A statement is split into query blocks: a SELECT, UPDATE or DELETE with its own FROM. In each block the
conditions that always hold (joined by AND, not below an OR) give a graph of equalities of ``tenant_id`` and
one of ``driver_id``. Three findings are possible for a table of a block:

1. ``unjoined``: a column that two tables of the block both have, ``tenant_id`` or ``driver_id``, is not
   equal; or the table is joined with an inner query that reads rows of tenants and hides their tenant.
2. ``unrestricted``: its ``tenant_id`` is equal to no parameter, no outer row and no row of an inner query.
3. ``unnamed``: rows are inserted without a ``tenant_id``.

It knows the SQL of this repository (joins, common table expressions, LATERAL, set operations, USING, row
comparisons), not all of Postgres'; what it cannot read it reports, so that nothing passes unread.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

COLUMNS: Final = ("tenant_id", "driver_id")
_TENANTS: Final = "rows of tenants"
"""Among the columns of an inner query: it reads a table that has a tenant."""

_TOKEN: Final = re.compile(
    r"(?P<skip>\s+|--[^\n]*|/\*.*?\*/)"
    r"|(?P<body>\$\$.*?\$\$)"
    r"|(?P<text>[eE]?'(?:[^']|'')*')"
    r"|(?P<given>\$\d+)"
    r"|(?P<word>\w+|\"[^\"]+\")"
    r"|(?P<mark>::|->>|->|<>|<=|>=|\|\||!=|.)",
    re.DOTALL,
)
_SETS: Final = frozenset(["union", "intersect", "except"])
_ENDS_FROM: Final = (
    _SETS
    | frozenset(["where", "group", "order", "limit", "having", "returning", "on_conflict"])
    | frozenset(["set", "window", "for", "offset"])
)
_JOIN_WORDS: Final = frozenset(["join", "left", "right", "full", "inner", "outer", "cross", "natural"])
_RESERVED: Final = (
    _ENDS_FROM
    | _JOIN_WORDS
    | frozenset(["on", "using", "as", "lateral", "and", "or", "with", "ordinality", "only"])
)
_QUERY: Final = frozenset(("select", "insert", "update", "delete", "with"))

Tree: TypeAlias = "list[str | Tree]"
"""Tokens in order; what stands in parentheses is a list of its own."""


class Finding(NamedTuple):
    """What is wrong with ``table`` in a statement."""

    table: str
    fault: str


class UnreadableError(ValueError):
    """The checker does not know how to read this SQL."""


@dataclass
class _Relation:
    """A row source of a block. ``columns``: those of `COLUMNS` that it has; ``fixed``: it is no table, so its
    values come from parameters or from another block, which is checked by itself."""

    name: str
    table: str
    columns: frozenset[str]
    fixed: bool


@dataclass
class _Scope:
    """What names mean in a block: common table expressions and, of the enclosing blocks, rows."""

    ctes: dict[str, frozenset[str]] = field(default_factory=dict)
    outer: dict[str, _Relation] = field(default_factory=dict)
    compared: frozenset[str] = frozenset()
    """Columns that the enclosing block compares with this query's: ``(a, b) IN (SELECT a, b …)``."""


class TenantScope:
    """Checks statements. ``tables``: the columns among `COLUMNS` of each table that has a tenant."""

    def __init__(self, tables: Mapping[str, frozenset[str]]) -> None:
        self._tables = dict(tables)
        self.compared: dict[int, frozenset[str]] = {}
        """By the identity of an inner query's tree: the columns that its rows are compared by."""

    def check(self, sql: str, arguments: Mapping[str, str] | None = None) -> list[Finding]:
        """The findings of every statement in ``sql``. ``arguments``: of a function, each one's row type.

        Raises UnreadableError.
        """
        scope = _Scope()
        for name, table in (arguments or {}).items():
            scope.outer[name] = _Relation(name, table, self._tables.get(table, frozenset()), fixed=True)
        found: list[Finding] = []
        for statement in _split(_tree(sql), ";"):
            if _word(statement[0]) in _QUERY or _is_query(statement[0]):
                self._statement(statement, scope, found)
            elif self._names_a_table(statement) and _word(statement[0]) not in ("create", "alter", "grant"):
                raise UnreadableError(f"not a query: {_text(statement)[:80]}")
        return list(dict.fromkeys(found))

    def _names_a_table(self, tree: Tree) -> bool:
        return any(word in self._tables for word in _words(tree))

    def _statement(self, tree: Tree, scope: _Scope, found: list[Finding]) -> frozenset[str]:
        """Check one statement; which of `COLUMNS` its rows have."""
        if _word(tree[0]) == "with":
            scope = _Scope(dict(scope.ctes), scope.outer, scope.compared)
            tree = self._ctes(tree, scope, found)
        parts = _split_sets(tree)
        return frozenset.intersection(*(self._part(part, scope, found) for part in parts))

    def _ctes(self, tree: Tree, scope: _Scope, found: list[Finding]) -> Tree:
        at = 1
        while True:
            name, at = _word(tree[at]), at + 1
            while _word(tree[at]) != "as":
                at += 1
            at += 1
            while not isinstance(tree[at], list):
                at += 1
            scope.ctes[name] = self._statement(_list(tree[at]), scope, found)
            at += 1
            if _word(tree[at]) != ",":
                return tree[at:]
            at += 1

    def _part(self, tree: Tree, scope: _Scope, found: list[Finding]) -> frozenset[str]:
        while len(tree) == 1 and isinstance(tree[0], list):
            tree = tree[0]
        kind = _word(tree[0])
        if kind == "with":
            return self._statement(tree, scope, found)
        if kind == "insert":
            return self._insert(tree, scope, found)
        if kind not in _QUERY:
            raise UnreadableError(f"not a query: {_text(tree)[:80]}")
        return _Block(self, tree, scope, found).columns

    def _insert(self, tree: Tree, scope: _Scope, found: list[Finding]) -> frozenset[str]:
        table, at = _word(tree[2]), 3
        if _word(tree[at]) == "as":
            at += 2
        has_columns = isinstance(tree[at], list)
        columns = frozenset(_words(_list(tree[at]))) if has_columns else None
        if table in self._tables and columns is not None and "tenant_id" not in columns:
            found.append(Finding(table, "unnamed"))
        rest = tree[at + has_columns :]
        end = next(
            (i for i, t in enumerate(rest) if _word(t) == "on" and _word(rest[i + 1]) == "conflict"), None
        )
        tail = [] if end is None else rest[end:]
        rest = rest if end is None else rest[:end]
        returning = next((i for i, t in enumerate(rest) if _word(t) == "returning"), len(rest))
        if _word(rest[0]) in ("select", "with"):
            self._statement(rest[:returning], scope, found)
        elif _word(rest[0]) != "values":
            raise UnreadableError(f"not an insert: {_text(tree)[:80]}")
        _Inner(self, tail + rest[returning:], scope, found)
        return self._given_back(table, rest[returning:] or tail)

    def _given_back(self, table: str, returning: Tree) -> frozenset[str]:
        if table not in self._tables:
            return frozenset()
        return (self._tables[table] & frozenset(_words(returning))) | {_TENANTS}

    def columns_of(self, name: str, scope: _Scope) -> tuple[frozenset[str], bool] | None:
        """Columns of a table or common table expression, and whether it is none of the tables."""
        if name in scope.ctes:
            return scope.ctes[name], True
        if name in self._tables:
            return self._tables[name], False
        return None


class _Inner:
    """Checks the queries inside ``tree``, which is no query itself."""

    def __init__(self, checker: TenantScope, tree: Tree, scope: _Scope, found: list[Finding]) -> None:
        for part in tree:
            if isinstance(part, list) and part:
                if _is_query(part):
                    compared = checker.compared.get(id(part), frozenset())
                    checker._statement(part, _Scope(scope.ctes, scope.outer, compared), found)
                else:
                    _Inner(checker, part, scope, found)


class _Block:
    """One SELECT, UPDATE or DELETE. ``columns``: which of `COLUMNS` its rows have."""

    def __init__(self, checker: TenantScope, tree: Tree, scope: _Scope, found: list[Finding]) -> None:
        self._checker = checker
        self._scope = scope
        self._found = found
        self._relations: list[_Relation] = []
        self._edges: dict[str, _Union] = {column: _Union() for column in COLUMNS}
        self._conditions: list[Tree] = []
        self._rest: Tree = []
        self._read(tree)
        for condition in self._conditions:
            self._condition(condition)
            self._note_compared(condition)
        inner = self._inner_scope()
        for rest in (self._rest, *self._conditions):
            _Inner(checker, rest, inner, found)
        self._judge()
        self.columns = self._given_out(tree)

    # --- reading

    def _inner_scope(self) -> _Scope:
        outer = dict(self._scope.outer)
        outer.update({one.name: one for one in self._relations})
        return _Scope(self._scope.ctes, outer)

    def _read(self, tree: Tree) -> None:
        kind = _word(tree[0])
        at = 0
        if kind in ("update", "delete"):
            at = self._relation(tree, 1 if kind == "update" else 2)
        while at < len(tree):
            word = _word(tree[at])
            if word == "from" or (word == "using" and kind == "delete"):
                at = self._from(tree, at + 1)
            elif word == "where":
                end = at + 1
                while end < len(tree) and _word(tree[end]) not in _ENDS_FROM:
                    end += 1
                self._conditions.append(tree[at + 1 : end])
                at = end
            else:
                self._rest.append(tree[at])
                at += 1

    def _from(self, tree: Tree, at: int) -> int:
        at = self._relation(tree, at)
        while at < len(tree):
            word = _word(tree[at])
            if word == ",":
                at = self._relation(tree, at + 1)
            elif word in _JOIN_WORDS:
                while _word(tree[at]) in _JOIN_WORDS:
                    at += 1
                at = self._joined(tree, self._relation(tree, at))
            else:
                return at
        return at

    def _joined(self, tree: Tree, at: int) -> int:
        if at >= len(tree):
            return at
        if _word(tree[at]) == "using":
            names = _words(_list(tree[at + 1]))
            right = self._relations[-1]
            for column in COLUMNS:
                if column in names:
                    left = next(one for one in self._relations if column in one.columns)
                    self._edges[column].join(left.name, right.name)
            return at + 2
        if _word(tree[at]) == "on":
            end = at + 1
            while end < len(tree) and _word(tree[end]) not in _ENDS_FROM | _JOIN_WORDS | {","}:
                end += 1
            self._conditions.append(tree[at + 1 : end])
            return end
        return at

    def _relation(self, tree: Tree, at: int) -> int:
        is_lateral = False
        while _word(tree[at]) in ("lateral", "only"):
            is_lateral = is_lateral or _word(tree[at]) == "lateral"
            at += 1
        source = tree[at]
        at += 1
        is_call = at < len(tree) and isinstance(tree[at], list) and not isinstance(source, list)
        if isinstance(source, list):
            is_query = bool(source) and _word(source[0]) in _QUERY
            if not is_query:
                raise UnreadableError(f"not a row source: {_text(source)[:80]}")
            scope = self._inner_scope() if is_lateral else _Scope(self._scope.ctes, self._scope.outer)
            columns = self._checker._statement(source, scope, self._found)
            relation = _Relation("", "", columns, fixed=True)
        elif is_call:
            _Inner(self._checker, _list(tree[at]), self._inner_scope(), self._found)
            at += 1
            relation = _Relation("", "", frozenset(), fixed=True)
        else:
            known = self._checker.columns_of(_word(source), self._scope)
            columns, fixed = known if known is not None else (frozenset(), True)
            relation = _Relation(_word(source), "" if fixed else _word(source), columns, fixed)
        if at + 1 < len(tree) and _word(tree[at]) == "with" and _word(tree[at + 1]) == "ordinality":
            at += 2
        if at < len(tree) and _word(tree[at]) == "as":
            at += 1
        if at < len(tree) and not isinstance(tree[at], list) and _is_name(_word(tree[at])):
            relation.name = _word(tree[at])
            at += 1
            if at < len(tree) and isinstance(tree[at], list):
                if relation.fixed:
                    named = frozenset(COLUMNS) & frozenset(_words(_list(tree[at])))
                    relation.columns = named | (relation.columns & {_TENANTS})
                at += 1
        relation.name = relation.name or f"?{len(self._relations)}"
        self._relations.append(relation)
        return at

    # --- conditions

    def _condition(self, tree: Tree) -> None:
        """Note the equalities of a condition that always holds."""
        if any(_word(token) == "or" for token in tree):
            return
        for part in _split_and(tree):
            if len(part) == 1 and isinstance(part[0], list):
                self._condition(part[0])
                continue
            at = next((i for i, token in enumerate(part) if _word(token) in ("=", "in")), None)
            if at is not None and "not" not in {_word(token) for token in part[:at]}:
                self._equal(part[:at], part[at + 1 :])

    def _equal(self, left: Tree, right: Tree) -> None:
        if len(left) == 1 and isinstance(left[0], list):  # (a, b) IN (SELECT …), (a, b) = (c, d)
            items, others = _split(left[0], ","), _pairs(right)
            if others == [["*"]] and "unnest" in _words(right):
                others = [["$0"]] * len(items)  # rows of parameters, in this order
            if len(items) == len(others):
                for item, other in zip(items, others, strict=True):
                    self._equal(item, ["$0"] if _is_query(right[0]) and item[-1] == other[-1] else other)
            return
        for one, other in ((left, right), (right, left)):
            named = self._column(one)
            if named is None:
                continue
            column, relation = named
            self._edges[column].join(relation, self._value(column, other))
            return

    def _note_compared(self, tree: Tree) -> None:
        for left, word, right in zip(tree, tree[1:], tree[2:], strict=False):
            if _word(word) == "in" and isinstance(left, list) and _is_query(right):
                names = {str(one[-1]) for one in _split(left, ",")}
                self._checker.compared[id(right)] = frozenset(COLUMNS) & names
            elif (
                _word(word) == "="
                and _word(left) in COLUMNS
                and _is_query(right)
                and _word(_pairs([right])[0][-1]) == left
            ):
                self._checker.compared[id(right)] = frozenset({_word(left)})
        for part in tree:
            if isinstance(part, list) and not _is_query(part):
                self._note_compared(part)

    def _column(self, tree: Tree) -> tuple[str, str] | None:
        """(column, relation) when ``tree`` is one of `COLUMNS` of a relation of this block."""
        words = [_word(token) for token in tree]
        if len(words) == 1 and words[0] in COLUMNS:
            owner = next((one for one in self._relations if words[0] in one.columns), None)
            return None if owner is None else (words[0], owner.name)
        is_qualified = len(words) == 3 and words[1] == "." and words[2] in COLUMNS
        if is_qualified and any(one.name == words[0] for one in self._relations):
            return words[2], words[0]
        return None

    def _value(self, column: str, tree: Tree) -> str:
        """The node of what a column is compared with: another relation, or ``$`` for a value given to us."""
        named = self._column(tree)
        if named is not None:
            return named[1] if named[0] == column else "?"
        words = [_word(token) for token in tree]
        if len(words) == 3 and words[1] == ".":
            outer = self._scope.outer.get(words[0])
            return "$" if outer is not None and words[2] == column and column in outer.columns else "?"
        if words and words[0].startswith("$"):
            return "$"
        if words and words[0] == "any" and _words(tree[1:])[:1] and _words(tree[1:])[0].startswith("$"):
            return "$"
        if len(tree) == 1 and isinstance(tree[0], list) and _is_query(tree[0]):
            return "$"  # IN (SELECT …): checked by itself
        return "?"

    # --- judging

    def _judge(self) -> None:
        for column, union in self._edges.items():
            for one in self._relations:
                if one.fixed and column in one.columns:
                    union.join(one.name, one.name)  # of another block: joined with like any other
            hidden = any(
                _TENANTS in one.columns and "tenant_id" not in one.columns for one in self._relations
            )
            have = [one for one in self._relations if column in one.columns]
            tables = [one for one in have if not one.fixed]
            for one in tables:
                is_tied = union.same(one.name, "$") or any(
                    union.same(one.name, other.name) for other in have if other.fixed
                )
                if not is_tied and len(have) > 1 and not all(union.same(one.name, o.name) for o in have):
                    self._found.append(Finding(one.table, f"unjoined by {column}"))
                elif not is_tied and column == "tenant_id" and hidden:
                    self._found.append(Finding(one.table, "unjoined by tenant_id"))
                elif not is_tied and column == "tenant_id":
                    self._found.append(Finding(one.table, "unrestricted"))
                elif not is_tied and self._is_about_an_outer_person(one):
                    self._found.append(Finding(one.table, f"unjoined by {column}"))

    def _is_about_an_outer_person(self, one: _Relation) -> bool:
        """Whether an inner query that is tied to an outer row's tenant is not tied to that row's driver."""
        people = [outer for outer in self._scope.outer.values() if "driver_id" in outer.columns]
        return bool(people) and "driver_id" in one.columns and "driver_id" not in self._scope.compared

    def _given_out(self, tree: Tree) -> frozenset[str]:
        """Which of `COLUMNS` are selected or returned."""
        kind = _word(tree[0])
        words: list[str] = []
        if kind == "select":
            end = next((i for i, token in enumerate(tree) if _word(token) in ("from", "where")), len(tree))
            words = [_word(token) for token in tree[1:end]]
        else:
            start = next((i for i, token in enumerate(tree) if _word(token) == "returning"), len(tree))
            words = [_word(token) for token in tree[start:]]
        if "*" in words:
            return frozenset(c for one in self._relations for c in one.columns)
        reads = any(not one.fixed or _TENANTS in one.columns for one in self._relations)
        return frozenset(COLUMNS) & frozenset(words) | ({_TENANTS} if reads else frozenset())


class _Union:
    """Which nodes are equal to each other."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def _root(self, node: str) -> str:
        while (parent := self._parent.get(node, node)) != node:
            node = parent
        return node

    def join(self, one: str, other: str) -> None:
        """Note that both are equal; ``?`` is a value that says nothing."""
        if "?" not in (one, other):
            self._parent[self._root(one)] = self._root(other)

    def same(self, one: str, other: str) -> bool:
        """Whether both are known to be equal."""
        return self._root(one) == self._root(other)


# --- tables and functions of the migrations


def tables_of(migrations: Sequence[str]) -> dict[str, frozenset[str]]:
    """Every table with a tenant that ``migrations`` make, and which of `COLUMNS` it has."""
    columns: dict[str, frozenset[str]] = {}
    for text in migrations:
        for statement in _split(_tree(text), ";"):
            words = [_word(token) for token in statement[:3]]
            if words[:2] != ["create", "table"]:
                continue
            body = next(part for part in statement if isinstance(part, list))
            names = [item for item in _split(body, ",") if item]
            if _word(names[0][0]) == "like":
                columns[words[2]] = columns[_word(names[0][1])]
            else:
                columns[words[2]] = frozenset(COLUMNS) & {_word(item[0]) for item in names}
    return {table: has for table, has in columns.items() if "tenant_id" in has}


class Function(NamedTuple):
    """A function in SQL: its body, and of each argument its type."""

    body: str
    arguments: dict[str, str]


def functions_of(migrations: Sequence[str]) -> Iterator[tuple[str, Function]]:
    """Functions in LANGUAGE sql with a body in ``$$``, in order: a later one replaces an earlier."""
    for text in migrations:
        for statement in _split(_tree(text), ";"):
            words = [_word(token) for token in statement]
            body = next((word for word in words if word.startswith("$$")), None)
            if body is None or "function" not in words or words[words.index("language") + 1] != "sql":
                continue
            at = words.index("function") + 1
            items = _split(_list(statement[at + 1]), ",")
            arguments = {_word(item[0]): _word(item[1]) for item in items if len(item) > 1}
            yield words[at], Function(body[2:-2], arguments)


# --- tokens


def _tree(sql: str) -> Tree:
    root: Tree = []
    stack = [root]
    for match in _TOKEN.finditer(sql):
        if match.lastgroup == "skip":
            continue
        token = match.group()
        if token == "(":
            inner: Tree = []
            stack[-1].append(inner)
            stack.append(inner)
        elif token == ")":
            stack.pop()
            if not stack:
                raise UnreadableError("a parenthesis too many")
        else:
            stack[-1].append(token.strip('"').lower() if match.lastgroup == "word" else token)
    if len(stack) != 1:
        raise UnreadableError("a parenthesis is not closed")
    return root


def _word(token: "str | Tree") -> str:
    return token if isinstance(token, str) else ""


def _list(token: "str | Tree") -> Tree:
    if isinstance(token, str):
        raise UnreadableError(f"parentheses expected, not {token}")
    return token


def _words(tree: Tree) -> list[str]:
    return [word for token in tree for word in ([token] if isinstance(token, str) else _words(token))]


def _text(tree: Tree) -> str:
    return " ".join(_words(tree))


def _is_query(token: "str | Tree") -> bool:
    return isinstance(token, list) and bool(token) and _word(token[0]) in ("select", "with")


def _pairs(right: Tree) -> list[Tree]:
    """The values of a row: those in parentheses, or what an inner query selects."""
    if len(right) != 1 or not isinstance(right[0], list):
        return []
    inner = right[0]
    if not _is_query(inner):
        return _split(inner, ",")
    end = next((i for i, token in enumerate(inner) if _word(token) == "from"), len(inner))
    return _split(inner[1:end], ",")


def _is_name(word: str) -> bool:
    return bool(re.fullmatch(r"\w+", word)) and word not in _RESERVED


def _split(tree: Tree, mark: str) -> list[Tree]:
    parts: list[Tree] = [[]]
    for token in tree:
        if token == mark:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _split_sets(tree: Tree) -> list[Tree]:
    """The queries between UNION, INTERSECT and EXCEPT."""
    parts: list[Tree] = [[]]
    for token in tree:
        if _word(token) in _SETS:
            parts.append([])
        elif not (_word(token) in ("all", "distinct") and not parts[-1] and len(parts) > 1):
            parts[-1].append(token)
    return parts


def _split_and(tree: Tree) -> list[Tree]:
    """What stands between the ANDs of a condition, that of BETWEEN apart."""
    parts: list[Tree] = [[]]
    between = False
    for token in tree:
        word = _word(token)
        if word == "and" and not between:
            parts.append([])
            continue
        between = word == "between" or (between and word != "and")
        parts[-1].append(token)
    return [part for part in parts if part]
