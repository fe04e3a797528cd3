/*
 * The events: every random choice is a hash of (seed, partition, offset, number of the choice), and
 * the text is put together from fixed pieces by hand, since printf alone would cost more than
 * everything else.
 */
#include "events.h"

#include <string.h>

#include "base/timestamp.h"

const char *const event_fault_names[FAULTS] = {
#define EVENT_FAULT_NAME(constant, name) name,
    EVENT_FAULT_MAP(EVENT_FAULT_NAME)
#undef EVENT_FAULT_NAME
};
const char *const event_type_names[EVENT_TYPES] = {"page_view", "add_to_cart", "purchase", "refund",
                                                   "sensor"};

/* Up to 16 bytes that are copied whole, then cut to their length. */
struct piece {
    char text[16];
    uint8_t bytes;
};
static const struct piece TYPES[EVENT_TYPES] = {
    {"page_view", 9}, {"add_to_cart", 11}, {"purchase", 8}, {"refund", 6}, {"sensor", 6}};
static const uint32_t TYPE_PERCENT_BELOW[EVENT_TYPES] = {60, 80, 92, 95, 100};
static const char COUNTRIES[7][2] = {"DE", "FR", "US", "GB", "JP", "BR", "IN"};
static const char CURRENCIES[7][3] = {"EUR", "EUR", "USD", "GBP", "JPY", "BRL", "INR"};
static const struct piece PAGES[6] = {{"/", 1},     {"/search", 7},   {"/product", 8},
                                      {"/cart", 5}, {"/checkout", 9}, {"/account", 8}};
static const struct piece TAGS[6] = {{"promo", 5}, {"mobile", 6}, {"web", 3},
                                     {"app", 3},   {"beta", 4},   {"vip", 3}};

/* ---- choices ---- */

/* The numbers of the choices: each is one 64-bit hash, of which parts are used. */
enum choice {
    CHOOSE_FATE,
    CHOOSE_LATENESS,
    CHOOSE_ID_HIGH,
    CHOOSE_ID_LOW,
    CHOOSE_WHO,
    CHOOSE_AMOUNT,
    CHOOSE_DURATION,
    CHOOSE_KIND,
    CHOOSE_REST
};

/* The finalizer of MurmurHash3, 64 bits. */
static inline uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ (x >> 33);
}

static inline uint64_t base_of(const struct event_plan *plan, int32_t partition, int64_t offset) {
    return mix(plan->seed * UINT64_C(0x9e3779b97f4a7c15) +
               ((uint64_t)(uint32_t)partition + 1) * UINT64_C(0xd1b54a32d192ed03)) +
           (uint64_t)offset * UINT64_C(0x8cb92ba72f3d8dd7);
}

static inline uint64_t choose(uint64_t base, enum choice number) {
    return mix(base + (uint64_t)number * UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint32_t high(uint64_t x) {
    return (uint32_t)(x >> 32);
}
static inline uint32_t low(uint64_t x) {
    return (uint32_t)x;
}
/* x of 32 (16) random bits to [0, n). */
static inline uint32_t below(uint32_t x, uint32_t n) {
    return (uint32_t)(((uint64_t)x * n) >> 32);
}
static inline uint32_t below16(uint64_t x, unsigned part, uint32_t n) {
    return ((uint32_t)(x >> (16 * part)) & 0xffff) * n >> 16;
}

static inline int fate_duplicate(const struct event_plan *plan, uint64_t fate) {
    return high(fate) < plan->duplicates;
}
static inline int fate_invalid(const struct event_plan *plan, uint64_t fate) {
    return low(fate) < plan->invalid;
}

/* The valid, original event that a duplicate at `offset` copies, or -1 when there is none. */
static int64_t find_origin(const struct event_plan *plan, int32_t partition, int64_t offset,
                           uint64_t base) {
    int64_t span = plan->span_offsets < offset ? plan->span_offsets : offset;
    if (span == 0) {
        return -1;
    }
    int64_t back = 1 + (int64_t)(choose(base, CHOOSE_REST) % (uint64_t)span);
    for (int64_t at = offset - back; at >= 0; at--) {
        uint64_t fate = choose(base_of(plan, partition, at), CHOOSE_FATE);
        if (!fate_duplicate(plan, fate) && !fate_invalid(plan, fate)) {
            return at;
        }
    }
    return -1;
}

static int64_t arrival_of(const struct event_plan *plan, int32_t partition, int64_t offset) {
    int64_t index = offset * plan->partitions + partition;
    return plan->start_ms + index / plan->event_rate * 1000 +
           index % plan->event_rate * 1000 / plan->event_rate;
}

static void look_at_time(const struct event_plan *plan, int64_t created_ms, uint64_t base,
                         struct event_facts *facts) {
    uint64_t random = choose(base, CHOOSE_LATENESS);
    facts->event_ms = created_ms + below(low(choose(base, CHOOSE_DURATION)), 200);
    facts->lateness = LATENESS_NONE;
    if (high(random) < plan->too_late) {
        /* Far beyond any lateness of about late_by, and still within a few hours. */
        facts->event_ms -= 2 * plan->late_by_ms + 60000 + below(low(random), 600000);
        facts->lateness = LATENESS_TOO_LATE;
    } else if (high(random) - plan->too_late < plan->late) {
        facts->event_ms -= (int64_t)(((uint64_t)low(random) * (uint64_t)plan->late_by_ms) >> 32);
        facts->lateness = LATENESS_LATE;
    }
}

void event_look(const struct event_plan *plan, int32_t partition, int64_t offset,
                struct event_facts *facts) {
    uint64_t base = base_of(plan, partition, offset);
    uint64_t fate = choose(base, CHOOSE_FATE);
    facts->arrival_ms = arrival_of(plan, partition, offset);
    facts->origin = offset;
    facts->is_duplicate = 0;
    facts->fault = FAULT_NONE;
    int64_t created_ms = facts->arrival_ms;
    if (fate_duplicate(plan, fate)) {
        int64_t origin = find_origin(plan, partition, offset, base);
        if (origin >= 0) {
            facts->origin = origin;
            facts->is_duplicate = 1;
            base = base_of(plan, partition, origin);
            created_ms = arrival_of(plan, partition, origin);
        }
    } else if (fate_invalid(plan, fate)) {
        facts->fault = (enum event_fault)below(high(choose(base, CHOOSE_REST)), FAULTS);
    }
    look_at_time(plan, created_ms, base, facts);
    uint64_t who = choose(base, CHOOSE_WHO);
    facts->device = below(high(who), 20000);
    facts->customer = 1 + below(low(who), 4999999);
    facts->cents = 1 + below(high(choose(base, CHOOSE_AMOUNT)), 49999);
    uint32_t percent = below16(choose(base, CHOOSE_KIND), 0, 100);
    facts->type = 0;
    while (percent >= TYPE_PERCENT_BELOW[facts->type]) {
        facts->type++;
    }
}

/* ---- text ---- */

static const char PAIRS[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233"
    "34353637383940414243444546474849505152535455565758596061626364656667"
    "6869707172737475767778798081828384858687888990919293949596979899";

#define PUT(at, literal) (memcpy((at), (literal), sizeof(literal) - 1), (at) + sizeof(literal) - 1)

static inline char *put_piece(char *at, const struct piece *piece) {
    memcpy(at, piece->text, sizeof(piece->text));
    return at + piece->bytes;
}

static inline char *put_pair(char *at, uint32_t value) {
    memcpy(at, PAIRS + (size_t)value * 2, 2);
    return at + 2;
}

static inline char *put_number(char *at, uint32_t value) {
    char reversed[12];
    char *end = reversed + sizeof(reversed);
    char *first = end;
    while (value >= 100) {
        first -= 2;
        memcpy(first, PAIRS + (size_t)(value % 100) * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        first -= 2;
        memcpy(first, PAIRS + (size_t)value * 2, 2);
    } else {
        *--first = (char)('0' + value);
    }
    memcpy(at, first, (size_t)(end - first));
    return at + (end - first);
}

/* Eight hexadecimal digits at once: spreads the nibbles over bytes, then makes letters of them. */
static inline char *put_hex(char *at, uint32_t value) {
    uint64_t x = value;
    x = ((x & 0xffff0000u) << 16) | (x & 0xffffu);
    x = ((x & UINT64_C(0x0000ff000000ff00)) << 8) | (x & UINT64_C(0x000000ff000000ff));
    x = ((x & UINT64_C(0x00f000f000f000f0)) << 4) | (x & UINT64_C(0x000f000f000f000f));
    uint64_t letters = ((x + UINT64_C(0x0606060606060606)) >> 4) & UINT64_C(0x0101010101010101);
    x = __builtin_bswap64(x + UINT64_C(0x3030303030303030) + letters * ('a' - '0' - 10));
    memcpy(at, &x, 8);
    return at + 8;
}

static void set_day(struct event_calendar *calendar, int64_t day) {
    int64_t year = 0;
    int month = 0;
    int day_of_month = 0;
    sl_civil_from_days(day, &year, &month, &day_of_month);
    char *at = put_pair(calendar->date, (uint32_t)(year / 100 % 100));
    at = put_pair(at, (uint32_t)(year % 100));
    *at++ = '-';
    at = put_pair(at, (uint32_t)month);
    *at++ = '-';
    at = put_pair(at, (uint32_t)day_of_month);
    *at = 'T';
    calendar->day = day;
}

static char *put_time(char *at, struct event_calendar *calendar, int64_t ms) {
    int64_t day = ms / 86400000;
    if (calendar->date[0] == '\0' || day != calendar->day) {
        set_day(calendar, day);
    }
    uint32_t of_day = (uint32_t)(ms - day * 86400000);
    uint32_t seconds = of_day / 1000;
    uint32_t millis = of_day % 1000;
    memcpy(at, calendar->date, 12);
    at = put_pair(at + 11, seconds / 3600);
    *at++ = ':';
    at = put_pair(at, seconds / 60 % 60);
    *at++ = ':';
    at = put_pair(at, seconds % 60);
    *at++ = '.';
    *at++ = (char)('0' + millis / 100);
    at = put_pair(at, millis % 100);
    *at++ = 'Z';
    return at;
}

static char *put_event_id(char *at, uint64_t base) {
    uint64_t id_high = choose(base, CHOOSE_ID_HIGH);
    uint64_t id_low = choose(base, CHOOSE_ID_LOW);
    at = put_hex(at, high(id_high));
    at = put_hex(at, low(id_high));
    at = put_hex(at, high(id_low));
    return put_hex(at, low(id_low));
}

static char *put_device(char *at, uint32_t device) {
    at = PUT(at, "dev-");
    *at++ = (char)('0' + device / 10000);
    at = put_pair(at, device / 100 % 100);
    return put_pair(at, device % 100);
}

static char *put_rest(char *at, uint64_t base) {
    uint64_t kind = choose(base, CHOOSE_KIND);
    uint64_t rest = choose(base, CHOOSE_REST);
    uint32_t country = below16(kind, 1, 7);
    at = PUT(at, ",\"currency\":\"");
    memcpy(at, CURRENCIES[country], 3);
    at = PUT(at + 3, "\",\"country\":\"");
    memcpy(at, COUNTRIES[country], 2);
    at = PUT(at + 2, "\",\"session\":{\"id\":\"s-");
    at = put_hex(at, low(choose(base, CHOOSE_AMOUNT)));
    at = PUT(at, "\",\"page\":\"");
    at = put_piece(at, &PAGES[below16(kind, 2, 6)]);
    at = PUT(at, "\",\"duration_ms\":");
    at = put_number(at, below(high(choose(base, CHOOSE_DURATION)), 120000));
    at = PUT(at, "},\"temperature\":");
    int32_t tenths = (int32_t)below16(kind, 3, 550) - 100;
    if (tenths < 0) {
        *at++ = '-';
        tenths = -tenths;
    }
    at = put_number(at, (uint32_t)tenths / 10);
    *at++ = '.';
    *at++ = (char)('0' + tenths % 10);
    at = PUT(at, ",\"tags\":[\"");
    at = put_piece(at, &TAGS[below16(rest, 0, 3)]);
    at = PUT(at, "\",\"");
    at = put_piece(at, &TAGS[3 + below16(rest, 1, 3)]);
    return PUT(at, "\"]}");
}

size_t event_write(const struct event_plan *plan, int32_t partition,
                   const struct event_facts *facts, struct event_calendar *calendar, char *out) {
    uint64_t base = base_of(plan, partition, facts->origin);
    enum event_fault fault = facts->fault;
    char *at = out;
    if (fault == FAULT_GARBAGE) {
        *at++ = (char)0xff;
    }
    *at++ = '{';
    if (fault != FAULT_MISSING_EVENT_ID) {
        at = PUT(at, "\"event_id\":\"");
        at = put_event_id(at, base);
        at = PUT(at, "\",");
    }
    at = PUT(at, "\"ts\":\"");
    if (fault == FAULT_BAD_TS) {
        at = PUT(at, "not-a-time ");
    }
    at = put_time(at, calendar, facts->event_ms);
    at = PUT(at, "\",\"device_id\":\"");
    at = put_device(at, facts->device);
    at = fault == FAULT_WRONG_TYPE ? PUT(at, "\",\"customer_id\":\"x")
                                   : PUT(at, "\",\"customer_id\":");
    at = put_number(at, facts->customer);
    at =
        fault == FAULT_WRONG_TYPE ? PUT(at, "\",\"event_type\":\"") : PUT(at, ",\"event_type\":\"");
    at = fault == FAULT_BAD_ENUM ? PUT(at, "???") : put_piece(at, &TYPES[facts->type]);
    at = PUT(at, "\",\"amount\":");
    if (fault == FAULT_NEGATIVE_AMOUNT) {
        *at++ = '-';
    }
    at = put_number(at, facts->cents / 100);
    *at++ = '.';
    at = put_pair(at, facts->cents % 100);
    at = put_rest(at, base);
    size_t bytes = (size_t)(at - out);
    return fault == FAULT_TRUNCATED ? bytes / 2 : bytes;
}

size_t event_write_key(const struct event_plan *plan, int32_t partition,
                       const struct event_facts *facts, enum event_key kind, char *out) {
    switch (kind) {
    case KEY_DEVICE_ID:
        return (size_t)(put_device(out, facts->device) - out);
    case KEY_CUSTOMER_ID:
        return (size_t)(put_number(out, facts->customer) - out);
    case KEY_EVENT_ID:
        return (size_t)(put_event_id(out, base_of(plan, partition, facts->origin)) - out);
    case KEY_NONE:
        break;
    }
    return 0;
}
