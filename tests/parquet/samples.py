"""Random tables: schemas of every type that sluice has, nested, with values that hurt."""

import datetime as dt
import decimal
import math
import random

import pyarrow as pa

TEXTS = ["", "a", "DE", "häuser", "日本語", "😀", "x" * 70, "é" * 40, "\u0000", "z\u0000", "\U0010ffff" * 20]
FLOATS = [0.0, -0.0, 1.5, -2.25, math.inf, -math.inf, 1e300, 5e-324]
EPOCH = dt.datetime(1970, 1, 1)
FIRST_DAY = dt.date(1, 1, 1).toordinal() - dt.date(1970, 1, 1).toordinal()
LAST_DAY = dt.date(9999, 12, 31).toordinal() - dt.date(1970, 1, 1).toordinal()

INTEGERS = {
    pa.int8(): (-(2**7), 2**7 - 1),
    pa.int16(): (-(2**15), 2**15 - 1),
    pa.int32(): (-(2**31), 2**31 - 1),
    pa.int64(): (-(2**63), 2**63 - 1),
    pa.uint8(): (0, 2**8 - 1),
    pa.uint16(): (0, 2**16 - 1),
    pa.uint32(): (0, 2**32 - 1),
    pa.uint64(): (0, 2**64 - 1),
}


def leaf_type(rng, delta=False):
    """`delta`: only types that a Delta table can hold."""
    choices = [
        pa.bool_(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.string(),
        pa.string(),
        pa.binary(),
        pa.date32(),
        pa.timestamp("us", tz="UTC"),
        pa.decimal128(rng.randint(1, 9), 1),
        pa.decimal128(rng.randint(10, 18), 2),
        pa.decimal128(rng.randint(19, 38), rng.randint(0, 19)),
    ]
    if not delta:
        choices += list(INTEGERS) + [pa.timestamp("us"), pa.binary(rng.choice([1, 3, 16, 20]))]
    return rng.choice(choices)


def any_type(rng, depth, delta=False):
    kind = rng.random() if depth > 0 else 0
    if kind < 0.6:
        return leaf_type(rng, delta)
    if kind < 0.75:
        return pa.list_(field(rng, "element", depth - 1, delta))
    if kind < 0.9:
        fields = [field(rng, f"f{i}", depth - 1, delta) for i in range(rng.randint(1, 3))]
        return pa.struct(fields)
    key = rng.choice([pa.string(), pa.int32()])
    return pa.map_(key, field(rng, "value", depth - 1, delta))


def field(rng, name, depth, delta=False):
    return pa.field(name, any_type(rng, depth, delta), nullable=rng.random() < 0.7)


def schema(rng, columns, depth, delta=False):
    return pa.schema([field(rng, f"c{i}", depth, delta) for i in range(columns)])


class Values:
    """Values of one type, of one of several shapes: constant, few, many, ascending, extreme."""

    def __init__(self, rng, type_, nan=True):
        self.rng = rng
        self.type = type_
        self.nan = nan
        self.shape = rng.choice(["constant", "few", "many", "ascending", "extreme"])
        self.nulls = rng.choice([0, 0, 0.05, 0.5, 1])
        self.count = 0
        self.children = self._children()
        self.pool = None
        if not self.children and self.shape in ("constant", "few"):
            n = 1 if self.shape == "constant" else rng.randint(2, 300)
            self.pool = [self._leaf() for _ in range(n)]

    def _children(self):
        t = self.type
        if pa.types.is_struct(t):
            return [Field(self.rng, t.field(i), self.nan) for i in range(t.num_fields)]
        if pa.types.is_list(t):
            return [Field(self.rng, t.value_field, self.nan)]
        if pa.types.is_map(t):
            return [Values(self.rng, t.key_type, False), Field(self.rng, t.item_field, self.nan)]
        return []

    def next(self):
        t, rng = self.type, self.rng
        if pa.types.is_struct(t):
            return {c.name: c.next() for c in self.children}
        if pa.types.is_list(t):
            return [self.children[0].next() for _ in range(rng.choice([0, 0, 1, 2, 3, 9]))]
        if pa.types.is_map(t):
            keys = {self.children[0].next(): None for _ in range(rng.choice([0, 1, 2, 5]))}
            return [(k, self.children[1].next()) for k in keys]
        self.count += 1
        return rng.choice(self.pool) if self.pool is not None else self._leaf()

    def _integer(self, low, high):
        if self.shape == "extreme":
            return self.rng.choice([low, high, 0 if low <= 0 else low, low + 1, high - 1])
        if self.shape == "ascending":
            return low // 2 + (self.count * 3 + self.rng.randint(0, 2)) % (high - low // 2)
        return self.rng.randint(low, high) >> self.rng.choice([0, 0, 8, 40])

    def _text(self):
        if self.shape == "extreme":
            return self.rng.choice(TEXTS)
        if self.shape == "ascending":
            return f"key-{self.count:08d}"
        return "%0*x" % (self.rng.choice([4, 8, 32]), self.rng.getrandbits(32))

    def _float(self):
        if self.shape == "extreme":
            return self.rng.choice(FLOATS + ([math.nan] if self.nan else []))
        if self.shape == "ascending":
            return self.count / 8
        return self.rng.random() * 10 ** self.rng.randint(-3, 9)

    def _leaf(self):
        t = self.type
        if t in INTEGERS:
            return min(max(self._integer(*INTEGERS[t]), INTEGERS[t][0]), INTEGERS[t][1])
        if pa.types.is_boolean(t):
            return self.rng.random() < 0.3
        if pa.types.is_float32(t):
            value = self._float()
            return 3.4e38 if 3.4e38 < abs(value) < math.inf else value
        if pa.types.is_float64(t):
            return self._float()
        if pa.types.is_string(t):
            return self._text()
        if pa.types.is_binary(t):
            return self.rng.randbytes(self.rng.choice([0, 1, 5, 16, 17, 100]))
        if pa.types.is_fixed_size_binary(t):
            return self.rng.randbytes(t.byte_width)
        if pa.types.is_date32(t):
            return self._integer_within(FIRST_DAY, LAST_DAY)
        if pa.types.is_timestamp(t):
            return self._integer_within(FIRST_DAY * 86400 * 10**6, LAST_DAY * 86400 * 10**6)
        assert pa.types.is_decimal(t), t
        limit = 10**t.precision - 1
        with decimal.localcontext(decimal.Context(prec=50)):
            value = decimal.Decimal(self._integer_within(-limit, limit))
            return value.scaleb(-t.scale)

    def _integer_within(self, low, high):
        return min(max(self._integer(low, high), low), high)


class Field:
    def __init__(self, rng, field_, nan):
        self.rng = rng
        self.name = field_.name
        self.values = Values(rng, field_.type, nan)
        self.nulls = self.values.nulls if field_.nullable else 0

    def next(self):
        return None if self.nulls > 0 and self.rng.random() < self.nulls else self.values.next()


def table(seed, rows, columns=6, depth=3, delta=False, nan=True, batches=3):
    rng = random.Random(seed)
    shape = schema(rng, columns, depth, delta)
    makers = [Field(rng, f, nan) for f in shape]
    parts = []
    for _ in range(batches):
        n = rng.choice([0, 1, rows // 3, rows])
        arrays = [pa.array([m.next() for _ in range(n)], f.type) for m, f in zip(makers, shape)]
        parts.append(pa.RecordBatch.from_arrays(arrays, schema=shape))
    return pa.Table.from_batches(parts, shape)
