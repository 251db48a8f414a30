# SPDX-License-Identifier: MIT
# arrow.py <module built from arrow.cpp>: tables made by pyarrow, handed over by the Arrow C data
# interface, against the values that Python has. Exit status 77: pyarrow is not installed.
import ctypes
import datetime
import gc
import random
import sys

try:
    import pyarrow as pa
except ImportError:
    print("skipped: the Python package pyarrow is not installed")
    sys.exit(77)
if not hasattr(pa.RecordBatch, "__arrow_c_array__"):
    print("skipped: pyarrow %s is older than 14" % pa.__version__)
    sys.exit(77)

module = ctypes.CDLL(sys.argv[1])
module.interop_read_arrow.restype = ctypes.c_char_p
module.interop_read_arrow.argtypes = [
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_size_t,
    ctypes.c_int64,
]
pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
pointer_of.restype = ctypes.c_void_p
pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]


def read(batches, ticks=1):
    """The text that interop_read_arrow returns for record batches or struct arrays."""
    schema = batches[0].__arrow_c_array__()[0]
    arrays = [batch.__arrow_c_array__()[1] for batch in batches]
    pointers = (ctypes.c_void_p * len(arrays))(*(pointer_of(a, b"arrow_array") for a in arrays))
    text = module.interop_read_arrow(
        pointer_of(schema, b"arrow_schema"), pointers, len(arrays), ticks
    )
    return text.decode()


EPOCH = datetime.datetime(1970, 1, 1)


def expected_value(value, ticks):
    if value is None or value != value:
        return "-"
    if isinstance(value, str):
        return "'" + value.encode().hex()
    if isinstance(value, datetime.datetime):
        past = value.replace(tzinfo=None) - EPOCH
        microseconds = (past.days * 86400 + past.seconds) * 1000000 + past.microseconds
        return str(microseconds * ticks // 1000000)
    if isinstance(value, datetime.date):
        return str((value - EPOCH.date()).days * 86400 * ticks)
    if isinstance(value, float):
        return "%.17g" % value
    return str(int(value))


def expected(batches, ticks=1):
    lines = []
    for k, name in enumerate(batches[0].schema.names):
        values = [value for batch in batches for value in batch.column(k).to_pylist()]
        is_list = pa.types.is_nested(batches[0].schema.field(k).type)
        lines.append("column %s %d" % (name, len(values)))
        for value in values:
            inner = (value or []) if is_list else [value]
            lines.append("row %d" % len(inner))
            lines += [expected_value(v, ticks) for v in inner]
    return "".join(line + "\n" for line in lines)


def compare(what, batches, ticks=1, handed_over=None):
    got, wanted = read(handed_over or batches, ticks), expected(batches, ticks)
    if got != wanted:
        print("%s:\n%s\ndiffers from what pyarrow has:\n%s" % (what, got[:2000], wanted[:2000]))
        sys.exit(1)


random.seed(1)


def maybe(value):
    return None if random.random() < 0.2 else value


def words():
    return maybe(random.choice(["", "a", "Été", "日本", "x" * 40]))


def some(make, n):
    return [make() for _ in range(n)]


TIME = datetime.datetime(2022, 4, 25, 18, 30, 5, 123456)
DATE = datetime.date(1969, 7, 20)


def arrays_of(n):
    """One array of n rows for each type that is read."""
    made = {}
    for bits in (8, 16, 32, 64):
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        made["int%d" % bits] = pa.array(
            some(lambda: maybe(random.randint(low, high)), n), getattr(pa, "int%d" % bits)()
        )
        made["uint%d" % bits] = pa.array(
            some(lambda: maybe(random.randint(0, high if bits == 64 else 2 * high)), n),
            getattr(pa, "uint%d" % bits)(),
        )
    halves = some(lambda: maybe(random.choice([0.5, -2.0, 65504.0, float("inf")])), n)
    singles = pa.array(some(lambda: random.gauss(0, 1e6), n), pa.float32())
    doubles = some(lambda: maybe(random.gauss(0, 1)), n)
    try:
        made["float16"] = pa.array(halves, pa.float16())
    except TypeError:  # older versions want numpy's
        pass
    made["float32"] = singles
    made["float64"] = pa.array(doubles, pa.float64())
    made["bool"] = pa.array(some(lambda: maybe(random.random() < 0.5), n), pa.bool_())
    made["null"] = pa.nulls(n)
    made["text"] = pa.array(some(words, n), pa.string())
    made["large_text"] = pa.array(some(words, n), pa.large_string())
    for index in (pa.int8(), pa.uint16(), pa.int64()):
        made["dictionary_%s" % index] = pa.array(
            some(words, n), pa.dictionary(index, pa.string())
        )
    made["dictionary_int"] = pa.array(some(lambda: maybe(random.randint(0, 3)), n)).dictionary_encode()
    times = some(lambda: maybe(TIME + random.randint(-(10**9), 10**6) * datetime.timedelta(seconds=2)), n)
    for unit in ("s", "ms", "us"):
        whole = [t and (t.replace(microsecond=0) if unit == "s" else t.replace(microsecond=123000)) for t in times]
        made["time_" + unit] = pa.array(whole, pa.timestamp(unit))
    made["time_zone"] = pa.array(times, pa.timestamp("us", "UTC"))
    days = some(lambda: maybe(DATE + random.randint(0, 30000) * datetime.timedelta(days=1)), n)
    made["date32"] = pa.array(days, pa.date32())
    made["date64"] = pa.array(days, pa.date64())
    lists = lambda make: some(lambda: maybe(some(make, random.randint(0, 4))), n)
    made["list"] = pa.array(lists(lambda: maybe(random.randint(-9, 9))), pa.list_(pa.int32()))
    made["large_list"] = pa.array(lists(words), pa.large_list(pa.large_string()))
    made["list_dictionary"] = pa.array(lists(words), pa.list_(pa.dictionary(pa.int16(), pa.string())))
    made["vectors"] = pa.array(
        some(lambda: maybe(some(lambda: random.random(), 3)), n), pa.list_(pa.float64(), 3)
    )
    return made


allocated = pa.total_allocated_bytes()
for n in (0, 1, 7, 8, 9, 64, 100):
    made = arrays_of(n)
    batch = pa.RecordBatch.from_arrays(list(made.values()), names=list(made))
    for ticks in (1, 1000):
        compare("%d rows" % n, [batch], ticks)
    for begin in {0, 1, n // 3, n // 2, n}:
        for length in {0, 1, n // 2, n}:
            part = batch.slice(begin, length)
            compare("rows %d to %d of %d" % (begin, begin + length, n), [part])
            # Whole arrays in a struct that is a slice itself.
            whole = batch.to_struct_array().slice(begin, length)
            compare("a struct, rows %d to %d of %d" % (begin, begin + length, n), [part], 1, [whole])
    compare("batches", [batch, batch.slice(n // 2), batch.slice(0, n // 2)])
    # A dictionary in each batch is its own.
    tables = pa.Table.from_batches([batch, batch]).combine_chunks().to_batches()
    if tables:
        compare("a table", tables)

for kind in (pa.decimal128(5, 2), pa.binary(), pa.time32("s"), pa.duration("s"),
             pa.list_(pa.list_(pa.int8())), pa.struct([("a", pa.int8())]),
             pa.map_(pa.string(), pa.int8())):
    text = read([pa.RecordBatch.from_arrays([pa.nulls(2, kind)], names=["money"])])
    if not text.startswith('error funnel::read_arrow: column "money": the type "') or "not supported" not in text:
        print("%s: %s" % (kind, text))
        sys.exit(1)
large = pa.RecordBatch.from_arrays([pa.array([1, 2**63], pa.uint64())], names=["id"])
if "row 1 is 9223372036854775808" not in read([large]):
    print("uint64: %s" % read([large]))
    sys.exit(1)

# All that was handed over was given back.
del made, batch, part, whole, tables, large
gc.collect()
if pa.total_allocated_bytes() != allocated:
    print("%d bytes were not released" % (pa.total_allocated_bytes() - allocated))
    sys.exit(1)
print("pyarrow %s: all tables are read" % pa.__version__)
