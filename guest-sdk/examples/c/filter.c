// Keeps the rows with auth == "Logged In" and duration >= min_seconds (30 unless set). A row without `auth` fails.
//
// What a function is given belongs to it and is freed by it; what it returns is freed by the generated code, so even a
// constant text is returned as a copy. The contract's `err` is `false`, with the text in *err.

#include "transformer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef exports_wasmill_transform_transform_settings_t settings_t;
typedef exports_wasmill_transform_transform_list_field_t fields_t;
typedef exports_wasmill_transform_transform_descriptor_t descriptor_t;
typedef exports_wasmill_transform_transform_batch_t batch_t;
typedef exports_wasmill_transform_transform_output_t output_t;

static const struct { const char *name, *format, *missing, *wanted; } READS[] = {
    {"auth", "u", "column `auth` is missing: wanted string", "column `auth`: wanted string (format u), found format "},
    {"duration", "g", "column `duration` is missing: wanted double",
     "column `duration`: wanted double (format g), found format "},
};
enum { READ_COUNT = sizeof READS / sizeof READS[0] };

static const transformer_string_t NOTHING = {(uint8_t *)"", 0};
static const char LOGGED_IN[] = "Logged In";

static double min_seconds = 30;

// What stands between `before` and `after` came from outside. By hand: printf would bring in WASI, which the host refuses.
static bool fail(transformer_string_t *err, const char *before, transformer_string_t found, const char *after) {
  size_t first = strlen(before), last = strlen(after);
  err->len = first + found.len + last;
  err->ptr = malloc(err->len);
  memcpy(err->ptr, before, first);
  memcpy(err->ptr + first, found.ptr, found.len);
  memcpy(err->ptr + first + found.len, after, last);
  return false;
}

static bool is(transformer_string_t found, const char *wanted) {
  return found.len == strlen(wanted) && memcmp(found.ptr, wanted, found.len) == 0;
}

static bool read_settings(const settings_t *settings, double *seconds, transformer_string_t *err) {
  *seconds = 30;
  for (size_t i = 0; i < settings->len; i++) {
    transformer_string_t name = settings->ptr[i].f0, value = settings->ptr[i].f1;
    if (!is(name, "min_seconds")) {
      return fail(err, "unknown setting `", name, "`; known: `min_seconds` (a number, default 30)");
    }
    char text[64] = {0}, *end = text;
    if (value.len < sizeof text) {
      memcpy(text, value.ptr, value.len);
      *seconds = strtod(text, &end);
    }
    if (end == text || *end != 0 || !isfinite(*seconds)) {
      return fail(err, "setting `min_seconds`: wanted a number, found `", value, "`");
    }
  }
  return true;
}

static bool check_input(const fields_t *input, transformer_string_t *err) {
  for (size_t i = 0; i < READ_COUNT; i++) {
    size_t at = 0;
    while (at < input->len && !is(input->ptr[at].name, READS[i].name)) at++;
    if (at == input->len) {
      return fail(err, READS[i].missing, NOTHING, "");
    }
    if (!is(input->ptr[at].format, READS[i].format)) {
      return fail(err, READS[i].wanted, input->ptr[at].format, "");
    }
  }
  return true;
}

bool exports_wasmill_transform_transform_describe(settings_t *settings, fields_t *input, descriptor_t *ret,
                                                  transformer_string_t *err) {
  double unused;
  bool fine = read_settings(settings, &unused, err) && check_input(input, err);
  if (fine) {
    *ret = (descriptor_t){0};
    ret->reads.ptr = calloc(READ_COUNT, sizeof *ret->reads.ptr);
    ret->reads.len = READ_COUNT;
    for (size_t i = 0; i < READ_COUNT; i++) transformer_string_dup(&ret->reads.ptr[i], READS[i].name);
  }
  wasmill_transform_types_settings_free(settings);
  wasmill_transform_types_list_field_free((wasmill_transform_types_list_field_t *)input);
  return fine;
}

bool exports_wasmill_transform_transform_start(settings_t *settings, fields_t *reads, transformer_string_t *err) {
  bool fine = read_settings(settings, &min_seconds, err);
  wasmill_transform_types_settings_free(settings);
  wasmill_transform_types_list_field_free((wasmill_transform_types_list_field_t *)reads);
  return fine;
}

static bool is_null(const wasmill_transform_types_column_t *column, size_t row) {
  return column->validity.is_some && !(column->validity.val.ptr[row >> 3] >> (row & 7) & 1);
}

bool exports_wasmill_transform_transform_process(batch_t *batch, output_t *ret, transformer_string_t *err) {
  const wasmill_transform_types_column_t *auth = &batch->columns.ptr[0], *duration = &batch->columns.ptr[1];
  const int32_t *offsets = auth->values.val.bytes.offsets.ptr;
  const uint8_t *text = auth->values.val.bytes.bytes.ptr;
  const double *seconds = duration->values.val.float64.ptr;
  size_t rows = batch->rows, length = (rows + 7) / 8;
  uint8_t *mask = calloc(length, 1);
  bool fine = true;
  for (size_t row = 0; row < rows && fine; row++) {
    size_t size = (size_t)(offsets[row + 1] - offsets[row]);
    if (is_null(auth, row)) {
      fine = false;
    } else if (!is_null(duration, row) && seconds[row] >= min_seconds && size == sizeof LOGGED_IN - 1 &&
               memcmp(text + offsets[row], LOGGED_IN, size) == 0) {
      mask[row >> 3] |= (uint8_t)(1 << (row & 7));
    }
  }
  wasmill_transform_types_batch_free(batch);
  if (!fine) {
    free(mask);
    return fail(err, "a row has no `auth`", NOTHING, "");
  }
  *ret = (output_t){0};
  ret->keep.tag = WASMILL_TRANSFORM_TYPES_SELECTION_MASK;
  ret->keep.val.mask.ptr = mask;
  ret->keep.val.mask.len = length;
  return true;
}
