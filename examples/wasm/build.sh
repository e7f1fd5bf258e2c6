#!/bin/sh
# Compiles the modules of this folder. C needs clang and wasm-ld (Debian: clang, lld); Rust its target
# wasm32-unknown-unknown (rustup target add …; Debian: rustc, libstd-rust-dev-wasm32; RUSTC names another compiler);
# AssemblyScript comes with npm install. What cannot be built is left as it is.
set -eu
cd "$(dirname "$0")"

# Every module declares how far its memory may grow: two megabytes here. The stack comes first, so that it runs into
# the end of the memory, and traps, before it could run into data.
MAX_MEMORY=2097152

if command -v clang >/dev/null && command -v wasm-ld >/dev/null; then
  for name in square orders; do
    clang --target=wasm32 -std=c17 -Wall -Wextra -Werror -O2 -ffreestanding -fno-builtin -nostdlib \
      -Wl,--no-entry -Wl,--gc-sections -Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=8192 \
      -Wl,--max-memory=$MAX_MEMORY -o "$name.wasm" "c/$name.c"
  done
else
  echo "left: square.wasm, orders.wasm (no clang with wasm-ld)" >&2
fi

RUSTC=${RUSTC:-rustc}
if [ -d "$($RUSTC --print sysroot 2>/dev/null)/lib/rustlib/wasm32-unknown-unknown" ]; then
  $RUSTC --target wasm32-unknown-unknown --edition 2021 --crate-type cdylib -C opt-level=s -C lto=fat -C panic=abort \
    -C strip=symbols -C link-arg=--max-memory=$MAX_MEMORY -C link-arg=--stack-first -C link-arg=-zstack-size=65536 \
    -o words.wasm rust/words.rs
else
  echo "left: words.wasm (no Rust with wasm32-unknown-unknown)" >&2
fi

# The stub runtime never frees. Without --use, abort would be an import; without --exportStart, there would be a
# start function.
node ../../node_modules/assemblyscript/bin/asc.js assemblyscript/pi.ts -O3 --runtime stub --use abort= \
  --exportStart _initialize --maximumMemory 32 --outFile pi.wasm

wc -c ./*.wasm
sha256sum ./*.wasm
