import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    globalSetup: ['packages/node/test/support/global-setup.ts'],
    include: ['packages/*/src/**/*.slow.test.ts', 'packages/*/test/**/*.slow.test.ts'],
    testTimeout: 1_800_000,
    passWithNoTests: true,
  },
})
