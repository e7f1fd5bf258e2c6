/* Adds up a CSV of orders: a record is any number of lines `product,quantity,price`, and the output a table
 * `product,orders,quantity,cents` in the order of the products' bytes.
 *
 * Prices have at most two decimals and are added up in cents, so there is no floating point, and the table is the
 * same on every machine. A line that is not of this form is counted in a last line `!,count,0,0`, so that a dirty
 * file gives a row and no trap. After each 1,000 lines the number of lines read is emitted, as an example of an
 * intermediate state. */
#include "assay.h"

#define PROGRESS_LINES 1000

typedef struct {
  const uint8_t *text;
  uint32_t length;
} slice;

typedef struct product {
  slice name;
  uint64_t orders, quantity, cents;
  struct product *next;
} product;

static product *products;
static uint64_t refused;

static int compare(slice a, slice b) {
  uint32_t common = a.length < b.length ? a.length : b.length;
  for (uint32_t i = 0; i < common; i++) {
    if (a.text[i] != b.text[i]) return a.text[i] < b.text[i] ? -1 : 1;
  }
  return a.length == b.length ? 0 : a.length < b.length ? -1 : 1;
}

/* The product of that name, which is made where there is none: a list in order is enough for some hundred. */
static product *product_of(slice name) {
  product **at = &products;
  while (*at && compare((*at)->name, name) < 0) at = &(*at)->next;
  if (*at && compare((*at)->name, name) == 0) return *at;
  product *made = alloc(sizeof(product));
  if (!made) __builtin_trap();
  made->name = name;
  made->next = *at;
  *at = made;
  return made;
}

/* Digits only, below 10^9. */
static int number(slice text, uint64_t *value) {
  if (text.length == 0 || text.length > 9) return 0;
  *value = 0;
  for (uint32_t i = 0; i < text.length; i++) {
    if (text.text[i] < '0' || text.text[i] > '9') return 0;
    *value = *value * 10 + (text.text[i] - '0');
  }
  return 1;
}

/* `12`, `12.5` or `12.50`, as cents. */
static int price(slice text, uint64_t *cents) {
  slice whole = text, rest = {0, 0};
  for (uint32_t i = 0; i < text.length; i++) {
    if (text.text[i] != '.') continue;
    whole.length = i;
    rest = (slice){text.text + i + 1, text.length - i - 1};
    if (rest.length == 0) return 0;
    break;
  }
  uint64_t units, part = 0;
  if (!number(whole, &units) || rest.length > 2 || (rest.length > 0 && !number(rest, &part))) return 0;
  *cents = units * 100 + (rest.length == 1 ? part * 10 : part);
  return 1;
}

static int add(slice line) {
  slice fields[3];
  uint32_t field = 0, start = 0;
  for (uint32_t i = 0; i <= line.length; i++) {
    if (i < line.length && line.text[i] != ',') continue;
    if (field == 3) return 0;
    fields[field++] = (slice){line.text + start, i - start};
    start = i + 1;
  }
  uint64_t quantity, cents;
  if (field != 3 || fields[0].length == 0 || !number(fields[1], &quantity) || !price(fields[2], &cents)) return 0;
  product *of = product_of(fields[0]);
  of->orders += 1;
  of->quantity += quantity;
  of->cents += quantity * cents;
  return 1;
}

static uint8_t *put_text(uint8_t *at, slice text) {
  for (uint32_t i = 0; i < text.length; i++) *at++ = text.text[i];
  return at;
}

static uint8_t *put_number(uint8_t *at, uint64_t value, uint8_t after) {
  uint8_t digits[20];
  uint32_t count = 0;
  do digits[count++] = (uint8_t)('0' + value % 10);
  while (value /= 10);
  while (count > 0) *at++ = digits[--count];
  *at++ = after;
  return at;
}

static uint8_t *put_row(uint8_t *at, slice name, const uint64_t values[3]) {
  at = put_text(at, name);
  *at++ = ',';
  at = put_number(at, values[0], ',');
  at = put_number(at, values[1], ',');
  return put_number(at, values[2], '\n');
}

uint64_t run(const uint8_t *record, uint32_t length) {
  uint64_t lines = 0;
  for (uint32_t start = 0; start < length;) {
    uint32_t end = start;
    while (end < length && record[end] != '\n') end++;
    if (!add((slice){record + start, end - start})) refused++;
    if (++lines % PROGRESS_LINES == 0) assay_emit(&lines, sizeof lines);
    start = end + 1;
  }
  uint32_t size = 64;
  for (product *p = products; p; p = p->next) size += p->name.length + 64;
  uint8_t *output = alloc(size), *at = output;
  if (!output) __builtin_trap();
  for (product *p = products; p; p = p->next) {
    at = put_row(at, p->name, (uint64_t[]){p->orders, p->quantity, p->cents});
  }
  if (refused > 0) at = put_row(at, (slice){(const uint8_t *)"!", 1}, (uint64_t[]){refused, 0, 0});
  return assay_output(output, (uint32_t)(at - output));
}
