/** A thread of bench/bloom.mjs: fills a filter of the whole size with a part of the values. */
import { parentPort, workerData } from 'node:worker_threads'
import { createBloom } from 'assay/core/bloom'
import { insertIntegers } from 'assay/core/kernel'

const { values, RATE } = workerData

parentPort.on('message', ({ from, to }) => {
  const filter = createBloom(values.length, RATE)
  insertIntegers(filter, values.subarray(from, to))
  parentPort.postMessage(filter, [filter.bits.buffer])
})
