/* What a module of work needs: a heap that only grows, and the two names that it exports or imports.
 *
 * A module computes one record and is thrown away, so nothing is ever freed. Include this in one file, and define
 * `uint64_t run(const uint8_t *record, uint32_t length)`. */
#ifndef ASSAY_H
#define ASSAY_H

#include <stddef.h>
#include <stdint.h>

#define ASSAY_PAGE 65536u

extern uint8_t __heap_base;
static uint32_t assay_top;

/* Zeroed memory for `length` bytes, or 0. Exported: the host calls it for the record. */
__attribute__((export_name("alloc"))) void *alloc(uint32_t length) {
  if (assay_top == 0) assay_top = (uint32_t)&__heap_base;
  uint32_t place = (assay_top + 15u) & ~15u;
  uint64_t end = (uint64_t)place + length;
  uint64_t size = (uint64_t)__builtin_wasm_memory_size(0) * ASSAY_PAGE;
  if (end > size) {
    uint64_t pages = (end - size + ASSAY_PAGE - 1) / ASSAY_PAGE;
    if (end > UINT32_MAX || __builtin_wasm_memory_grow(0, (size_t)pages) == (size_t)-1) return 0;
  }
  assay_top = (uint32_t)end;
  return (void *)place;
}

/* What `run` returns: where the output is. */
static inline uint64_t assay_output(const void *output, uint32_t length) {
  return (uint64_t)(uintptr_t)output << 32 | length;
}

/* Hands over an intermediate state, which becomes part of the row. */
__attribute__((import_module("assay"), import_name("emit"))) void assay_emit(const void *state, uint32_t length);

__attribute__((export_name("run"))) uint64_t run(const uint8_t *record, uint32_t length);

#endif
