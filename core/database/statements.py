"""Compiles SQLAlchemy statements to the text and the arguments that a driver takes.

A statement is compiled once. One that a module declares is found again by its identity. One that a
store builds for each call is found by SQLAlchemy's cache key, which takes a fifth of compiling it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from sqlalchemy import BindParameter, ClauseElement, Dialect, Executable, Row, UpdateBase
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.sql.compiler import SQLCompiler

from core.database.changes import Change, Written, written_by

Parameters = Mapping[str, Any]
"""Values by the names of a statement's parameters."""
AnyRow = Row[*tuple[Any, ...]]
_Processor = Any
"""A function of a value, or None: SQLAlchemy names its type for its own use only."""
_Processors = Mapping[str, _Processor]

COMPILED_MAX: Final = 1000
"""More compiled statements than the code has."""


Columns = Sequence[tuple[str, object]]
"""Names of the columns of a result, and the driver's types of them."""


class _RowShape:
    """Names and conversions of the columns of a result."""

    __slots__ = ("_metadata", "_positions", "_processors")

    def __init__(self, names: Sequence[str], processors: Sequence[_Processor] = ()) -> None:
        """Convert each column with its processor; without processors, keep the driver's values."""
        self._metadata = SimpleResultMetaData(names)
        self._positions = self._metadata._key_to_index  # noqa: SLF001 - what rows are made with
        self._processors = list(processors) if any(processors) else None

    def rows(self, records: Iterable[Any]) -> list[AnyRow]:
        metadata, processors, positions = self._metadata, self._processors, self._positions
        return [Row(metadata, processors, positions, record) for record in records]


class Compiled:
    """A statement, compiled for a dialect."""

    __slots__ = (
        *("_compiled", "_constants", "_converted", "_dialect"),
        *("_is_expanding", "_names", "_processors", "_shape", "_values_of", "written"),
    )

    def __init__(
        self, compiled: SQLCompiler, dialect: Dialect, written: Written | None = None
    ) -> None:
        """Prepare the conversion of parameters and of results."""
        self._compiled = compiled
        self.written = written
        """What it writes for the audit trail."""
        self._names = tuple(compiled.positiontup or ())
        self._processors: _Processors = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for name, bind in compiled.binds.items()
        }
        self._is_expanding = bool(compiled.post_compile_params or compiled.literal_execute_params)
        self._dialect = dialect
        self._shape: _RowShape | None = None
        escaped = compiled.escaped_bind_names
        binds = {escaped.get(name, name): bind for bind, name in compiled.bind_names.items()}
        self._constants = {bind.key: bind.value for bind in binds.values() if not bind.required}
        self._converted = [
            (index, processor)
            for index, name in enumerate(self._names)
            if (processor := self._processors.get(name)) is not None
        ]
        self._values_of: Callable[[Parameters], tuple[Any, ...]] | None = None
        """Returns the arguments before their conversion, from parameters and constants."""
        is_computed = any(bind.callable for bind in binds.values())
        if self._names and not self._is_expanding and not is_computed:
            self._values_of = _getter([binds[name].key for name in self._names])

    def bound(
        self, parameters: Parameters | None, extracted: Sequence[BindParameter[Any]] | None
    ) -> tuple[str, list[Any]]:
        """Return the text and the arguments of one execution.

        `extracted` are the parameters of the statement to execute, if it is not the one that was
        compiled but one with the same text.
        """
        if not extracted and parameters and self._values_of is not None:
            return self._compiled.string, self._converted_rows([parameters], self._values_of)[0]
        compiled, names, processors = self._compiled, self._names, self._processors
        text = compiled.string
        values: Parameters = compiled.construct_params(parameters, extracted_parameters=extracted)
        if self._is_expanding:  # the text depends on the number of values
            state = compiled.construct_expanded_state(values)
            text, values, names = state.statement, state.parameters, tuple(state.positiontup or ())
            processors = {**processors, **cast("_Processors", state.processors)}
        arguments = [values[name] for name in names]
        for index, name in enumerate(names):
            if (processor := processors.get(name)) is not None:
                arguments[index] = processor(arguments[index])
        return text, arguments

    def bound_rows(
        self, rows: Sequence[Parameters], extracted: Sequence[BindParameter[Any]] | None
    ) -> tuple[str, list[list[Any]]]:
        """Return the text and the arguments of an execution for each row of parameters."""
        if not extracted and self._values_of is not None:
            return self._compiled.string, self._converted_rows(rows, self._values_of)
        bound = [self.bound(row, extracted) for row in rows]
        return bound[0][0], [arguments for _, arguments in bound]

    def _converted_rows(
        self, rows: Sequence[Parameters], values_of: Callable[[Parameters], tuple[Any, ...]]
    ) -> list[list[Any]]:
        """Return the arguments for each row, without SQLAlchemy's look at each parameter."""
        constants = self._constants
        try:
            found = [list(values_of({**constants, **row} if constants else row)) for row in rows]
        except KeyError as error:
            raise InvalidRequestError(f"no value for the parameter {error}") from None
        for index, processor in self._converted:
            value: Any = self  # which no row has
            converted: Any = None
            for arguments in found:
                if arguments[index] is not value:  # rows often share one, as their time
                    value = arguments[index]
                    converted = processor(value)
                arguments[index] = converted
        return found

    def changes(
        self,
        parameters: Parameters | None,
        extracted: Sequence[BindParameter[Any]] | None,
        arguments: Sequence[Any],
    ) -> Iterator[Change]:
        """Yield what an execution with these parameters wrote for the audit trail."""
        assert self.written is not None, "it writes what is recorded"
        if self._is_expanding:  # the arguments have other places then
            values: Parameters = self._compiled.construct_params(
                parameters, extracted_parameters=extracted
            )
        else:
            values = dict(zip(self._names, arguments, strict=True))
        return self.written.changes(values)

    def rows(self, records: Iterable[Any], columns: Callable[[], Columns]) -> list[AnyRow]:
        """Return the driver's records, which have these columns, as rows."""
        declared = self._compiled._result_columns  # noqa: SLF001 - nothing public has their types
        if not declared:  # a textual statement
            return _RowShape([name for name, _ in columns()]).rows(records)
        if self._shape is None:
            self._shape = _RowShape(
                [column.keyname for column in declared],
                [
                    column.type.dialect_impl(self._dialect).result_processor(self._dialect, kind)
                    for column, (_, kind) in zip(declared, columns(), strict=True)
                ],
            )
        return self._shape.rows(records)


def _getter(keys: Sequence[str]) -> Callable[[Parameters], tuple[Any, ...]]:
    """Return a function that returns the values of parameters under these keys."""
    return itemgetter(*keys) if len(keys) > 1 else lambda values: (values[keys[0]],)


_Found = tuple[Compiled, Sequence[BindParameter[Any]] | None]


class Compiler:
    """Compiles statements for a dialect and keeps them."""

    def __init__(self, dialect: Dialect) -> None:
        """Compile for `dialect`."""
        self.dialect = dialect
        self._by_key: dict[object, Compiled] = {}
        self._by_identity: WeakKeyDictionary[Executable, dict[tuple[str, ...], _Found]]
        self._by_identity = WeakKeyDictionary()

    def compiled(self, statement: Executable, parameters: Parameters | None) -> _Found:
        """Return the compiled statement, and what `Compiled.bound` takes as `extracted`.

        The names of the `parameters` of a statement that writes say which columns it writes.
        """
        columns = tuple(parameters) if parameters and isinstance(statement, UpdateBase) else ()
        known = self._by_identity.get(statement)
        if known is None:
            known = self._by_identity[statement] = {}
        if (found := known.get(columns)) is None:
            found = known[columns] = self._by_cache_key(statement, columns)
        return found

    def _by_cache_key(self, statement: Executable, columns: tuple[str, ...]) -> _Found:
        element = cast("ClauseElement", statement)
        cache_key = element._generate_cache_key()  # noqa: SLF001 - no public method has it
        # The key does not say which parameters have no value yet.
        required = cache_key and tuple(bind.required for bind in cache_key.bindparams)
        key = cache_key and (cache_key.key, required, columns)
        if cache_key is not None and (found := self._by_key.get(key)) is not None:
            return found, cache_key.bindparams
        compiled = element.compile(
            dialect=self.dialect, cache_key=cache_key, column_keys=list(columns) or None
        )
        sql = cast("SQLCompiler", compiled)
        made = Compiled(sql, self.dialect, written_by(statement, columns, sql))
        if cache_key is not None:
            if len(self._by_key) >= COMPILED_MAX:
                self._by_key.clear()
                self._by_identity.clear()
            self._by_key[key] = made
        return made, None
