/**
 * Comma-separated values as RFC 4180 has them, strictly: what is not well formed is refused by line and column.
 *
 * A reader that guesses (a stray quote, a row that is too short) would let two parties read one file in two ways.
 */
import { AssayError } from 'assay/core/errors'

/** The rows of `text`, the first one naming the fields; lines end with LF or CRLF. */
export function readCsv(text, { file, fields }) {
  const records = readRecords(text, file)
  const [header] = records
  if (header === undefined || header.fields.join() !== fields.join()) {
    throw refuse(file, { line: 1, column: 1 }, `expected the header ${fields.join()}`)
  }
  return records.slice(1).map((record) => {
    if (record.fields.length !== fields.length) {
      const message = `expected ${fields.length} fields, got ${record.fields.length}`
      throw refuse(file, { line: record.line, column: record.lastColumn }, message)
    }
    return record
  })
}

/** For a value that does not fit, of `record` as `readCsv` gives it. */
export function refuseField(file, { record, field, message }) {
  return refuse(file, { line: record.line, column: record.columns[field] }, message)
}

function refuse(file, { line, column }, message) {
  return new AssayError('task/input', `${file}, line ${line}, column ${column}: ${message}`, {
    detail: { file, line, column },
  })
}

/** Records with the line that each begins on, and the columns that its fields begin at; both count from 1. */
function readRecords(text, file) {
  const cursor = { text, file, at: 0, line: 1, lineStart: 0 }
  const records = []
  while (cursor.at < text.length) records.push(readRecord(cursor))
  return records
}

function readRecord(cursor) {
  const record = { line: cursor.line, fields: [], columns: [], lastColumn: 1 }
  for (;;) {
    record.lastColumn = column(cursor)
    record.columns.push(record.lastColumn)
    record.fields.push(cursor.text[cursor.at] === '"' ? readQuoted(cursor) : readBare(cursor))
    const end = cursor.text[cursor.at]
    if (end === ',') {
      cursor.at += 1
      continue
    }
    endLine(cursor)
    return record
  }
}

function readBare(cursor) {
  const start = cursor.at
  while (cursor.at < cursor.text.length && !',\r\n'.includes(cursor.text[cursor.at])) {
    if (cursor.text[cursor.at] === '"') {
      throw refuse(cursor.file, place(cursor), 'a quote inside a field that is not quoted')
    }
    cursor.at += 1
  }
  return cursor.text.slice(start, cursor.at)
}

function readQuoted(cursor) {
  const opened = place(cursor)
  let value = ''
  cursor.at += 1
  for (;;) {
    const quote = cursor.text.indexOf('"', cursor.at)
    if (quote < 0) throw refuse(cursor.file, opened, 'a quote that is never closed')
    const part = cursor.text.slice(cursor.at, quote)
    value += part
    skipLines(cursor, part)
    cursor.at = quote + 1
    if (cursor.text[cursor.at] !== '"') break
    value += '"'
    cursor.at += 1
  }
  const next = cursor.text[cursor.at]
  if (next !== undefined && !',\r\n'.includes(next)) {
    throw refuse(cursor.file, place(cursor), 'expected a comma or the end of the line after a closing quote')
  }
  return value
}

function skipLines(cursor, part) {
  const lines = part.split('\n').length - 1
  if (lines === 0) return
  cursor.line += lines
  cursor.lineStart = cursor.at + part.lastIndexOf('\n') + 1
}

function endLine(cursor) {
  if (cursor.at === cursor.text.length) return
  if (cursor.text[cursor.at] === '\r') cursor.at += 1
  if (cursor.text[cursor.at] !== '\n')
    throw refuse(cursor.file, place(cursor), 'a line that ends with CR alone')
  cursor.at += 1
  cursor.line += 1
  cursor.lineStart = cursor.at
}

function column(cursor) {
  return cursor.at - cursor.lineStart + 1
}

function place(cursor) {
  return { line: cursor.line, column: column(cursor) }
}
