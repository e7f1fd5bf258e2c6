/**
 * What breaks between two versions of an OpenAPI document, for programs written against the older one.
 *
 * A request that was good must stay good: what the old schema accepts, the new one must accept. An answer must stay
 * what was promised: what the new schema gives, the old one must have allowed, fields that old programs read among
 * it; fields that they do not know they ignore. So both are one question, whether every value of `narrow` is one of
 * `wide`, asked in opposite directions. What the comparison does not understand it reports: a false alarm is read by
 * a person, a miss by nobody.
 */

const METHODS = ['get', 'post', 'patch', 'put', 'delete']
/** Keywords that the comparison weighs; a change of any other but these and the notes is reported. */
const NOTES = new Set(['title', 'description', 'default', 'example', 'examples', 'deprecated'])
const WEIGHED = new Set([
  ...[
    '$ref',
    'type',
    'enum',
    'const',
    'properties',
    'required',
    'additionalProperties',
    'items',
    'prefixItems',
  ],
  ...['anyOf', 'oneOf', 'minLength', 'maxLength', 'minItems', 'maxItems', 'minimum', 'maximum'],
  ...['exclusiveMinimum', 'exclusiveMaximum', 'pattern', 'format', 'discriminator'],
])
/** Keyword, and which way is narrower. */
const BOUNDS = [
  ['minLength', 1],
  ['maxLength', -1],
  ['minItems', 1],
  ['maxItems', -1],
  ['minimum', 1],
  ['maximum', -1],
  ['exclusiveMinimum', 1],
  ['exclusiveMaximum', -1],
]

/** What breaks, one line each; empty when nothing does. */
export function breakingChanges(before, after) {
  const found = []
  for (const [path, item] of Object.entries(before.paths)) {
    for (const method of METHODS.filter((name) => name in item)) {
      const place = `${method.toUpperCase()} ${path}`
      const now = after.paths[path]?.[method]
      if (now === undefined) found.push(`${place}: removed`)
      else compareOperation({ before, after, found, place }, item[method], now)
    }
  }
  return found
}

function compareOperation(context, old, now) {
  const { found, place } = context
  if (old.operationId !== now.operationId)
    found.push(`${place}: operationId changed, generated clients rename it`)
  compareSecurity(context, old.security ?? [], now.security ?? [])
  compareParameters(context, old.parameters ?? [], now.parameters ?? [])
  compareBody(context, old.requestBody, now.requestBody)
  compareResponses(context, old.responses, now.responses)
}

function compareSecurity({ found, place }, old, now) {
  const key = (list) => JSON.stringify(list)
  const isPublic = now.length === 0
  if (!isPublic && key(old) !== key(now)) found.push(`${place}: other credentials are needed`)
}

function compareParameters(context, old, now) {
  const { found, place } = context
  const name = (parameter) => `${parameter.in} ${parameter.name}`
  for (const parameter of old) {
    const match = now.find((candidate) => name(candidate) === name(parameter))
    if (match === undefined) found.push(`${place}: parameter ${name(parameter)} removed`)
    else {
      if (match.required && !parameter.required)
        found.push(`${place}: parameter ${name(parameter)} became required`)
      compareRequest(context, `parameter ${name(parameter)}`, parameter.schema, match.schema)
    }
  }
  for (const parameter of now.filter((candidate) => candidate.required)) {
    if (!old.some((candidate) => name(candidate) === name(parameter)))
      found.push(`${place}: new required parameter ${name(parameter)}`)
  }
}

function compareBody(context, old, now) {
  const { found, place } = context
  if (old === undefined) {
    if (now?.required) found.push(`${place}: a body became required`)
    return
  }
  if (now === undefined) return void found.push(`${place}: the body was removed`)
  if (now.required && !old.required) found.push(`${place}: the body became required`)
  for (const [type, { schema }] of Object.entries(old.content)) {
    const match = now.content[type]
    if (match === undefined) found.push(`${place}: no longer takes ${type}`)
    else compareRequest(context, 'body', schema, match.schema)
  }
}

function compareResponses(context, old, now) {
  const { before, after, found, place } = context
  for (const status of Object.keys(old).filter((code) => code.startsWith('2'))) {
    const [was, is] = [resolve(before, old[status]), resolve(after, now[status])]
    if (is === undefined) {
      found.push(`${place}: no longer answers ${status}`)
      continue
    }
    for (const [type, { schema }] of Object.entries(was.content ?? {})) {
      const match = is.content?.[type]
      if (match === undefined) found.push(`${place}: ${status} no longer gives ${type}`)
      else compareAnswer(context, `answer ${status}`, schema, match.schema)
    }
  }
}

function compareRequest({ before, after, found, place }, what, old, now) {
  const sides = { narrow: before, wide: after, isAnswer: false }
  for (const reason of outside(old ?? {}, now ?? {}, sides)) found.push(`${place}: ${what}${reason}`)
}

function compareAnswer({ before, after, found, place }, what, old, now) {
  const sides = { narrow: after, wide: before, isAnswer: true }
  for (const reason of outside(now ?? {}, old ?? {}, sides)) found.push(`${place}: ${what}${reason}`)
}

/**
 * Why some value of schema `a` (of document `narrow`) is none of schema `b` (of document `wide`); empty when every
 * one is. `seen`: pairs under way, for schemas that hold themselves.
 */
function outside(a, b, sides, seen = new Set()) {
  const pair = a.$ref !== undefined && b.$ref !== undefined ? `${a.$ref} ${b.$ref}` : undefined
  if (pair !== undefined && seen.has(pair)) return []
  const below = pair === undefined ? seen : new Set([...seen, pair])
  const [x, y] = [resolve(sides.narrow, a), resolve(sides.wide, b)]
  const branches = alternatives(x)
  if (branches !== undefined) {
    return branches.flatMap((branch) => outside(branch, y, sides, below))
  }
  const choices = alternatives(y)
  if (choices !== undefined) {
    const tries = choices.map((choice) => outside(x, choice, sides, below))
    if (tries.some((reasons) => reasons.length === 0)) return []
    return [`: fits none of its ${choices.length} forms (${tries.map((reasons) => reasons[0]).join(';')})`]
  }
  return [...plainOutside(x, y), ...objectOutside(x, y, sides, below), ...arrayOutside(x, y, sides, below)]
}

function plainOutside(x, y) {
  const reasons = []
  if (y.type !== undefined && !typesOf(x).every((type) => takesType(y, type)))
    reasons.push(`: type ${typesOf(x)} where ${typesOf(y)} was agreed`)
  const values = valuesOf(y)
  if (values !== undefined) {
    const others = (valuesOf(x) ?? ['any other value']).filter((value) => !values.includes(value))
    if (others.length > 0) reasons.push(`: ${others.join(', ')} is not among ${values.join(', ')}`)
  }
  for (const [keyword, sign] of BOUNDS) {
    if (y[keyword] === undefined || valuesOf(x) !== undefined) continue
    if (x[keyword] === undefined || sign * x[keyword] < sign * y[keyword])
      reasons.push(`: ${keyword} ${x[keyword] ?? 'none'} where ${y[keyword]} was agreed`)
  }
  for (const keyword of ['pattern', 'format']) {
    if (y[keyword] !== undefined && x[keyword] !== y[keyword] && valuesOf(x) === undefined)
      reasons.push(`: ${keyword} ${x[keyword] ?? 'none'} where ${y[keyword]} was agreed`)
  }
  for (const keyword of new Set([...Object.keys(x), ...Object.keys(y)])) {
    if (WEIGHED.has(keyword) || NOTES.has(keyword)) continue
    if (JSON.stringify(x[keyword]) !== JSON.stringify(y[keyword])) reasons.push(`: ${keyword} changed`)
  }
  return reasons
}

function objectOutside(x, y, sides, seen) {
  if (y.type !== 'object' || x.type !== 'object') return []
  const reasons = []
  for (const name of y.required ?? []) {
    if (!(x.required ?? []).includes(name)) reasons.push(`.${name}: must be there, and may be missing`)
  }
  for (const [name, schema] of Object.entries(y.properties ?? {})) {
    const own = x.properties?.[name]
    if (own !== undefined) {
      reasons.push(...outside(own, schema, sides, seen).map((reason) => `.${name}${reason}`))
    } else if (sides.isAnswer) reasons.push(`.${name}: removed`)
  }
  if (!sides.isAnswer && y.additionalProperties === false) {
    for (const name of Object.keys(x.properties ?? {})) {
      if (!(name in (y.properties ?? {}))) reasons.push(`.${name}: removed`)
    }
    if (x.additionalProperties !== false) reasons.push(': unknown fields became refused')
  }
  if (isSchema(y.additionalProperties)) {
    const own = isSchema(x.additionalProperties) ? x.additionalProperties : {}
    reasons.push(...outside(own, y.additionalProperties, sides, seen).map((reason) => `.*${reason}`))
  }
  return reasons
}

function arrayOutside(x, y, sides, seen) {
  if (y.type !== 'array' || x.type !== 'array') return []
  const reasons = outside(x.items ?? {}, y.items ?? {}, sides, seen).map((reason) => `[]${reason}`)
  const places = Math.max(x.prefixItems?.length ?? 0, y.prefixItems?.length ?? 0)
  for (let i = 0; i < places; i++) {
    const [own, agreed] = [x.prefixItems?.[i] ?? {}, y.prefixItems?.[i] ?? {}]
    reasons.push(...outside(own, agreed, sides, seen).map((reason) => `[${i}]${reason}`))
  }
  return reasons
}

function alternatives(schema) {
  return schema.anyOf ?? schema.oneOf
}

function valuesOf(schema) {
  return schema.const !== undefined ? [schema.const] : schema.enum
}

function typesOf(schema) {
  if (schema.type === undefined) return ['any']
  return Array.isArray(schema.type) ? schema.type : [schema.type]
}

function takesType(schema, type) {
  const types = typesOf(schema)
  return types.includes(type) || (type === 'integer' && types.includes('number'))
}

function isSchema(value) {
  return typeof value === 'object' && value !== null
}

/** What a reference leads to; notes beside it stay notes. */
function resolve(document, value) {
  let current = value
  for (let depth = 0; current?.$ref !== undefined && depth < 16; depth++) {
    current = current.$ref
      .slice(2)
      .split('/')
      .reduce((node, key) => node?.[key], document)
  }
  return current
}
