/** Changes planted into the OpenAPI document, to see that the comparison tells what breaks from what does not. */
import { breakingChanges } from './openapi-compat.mjs'

const schema = (document, name) => document.components.schemas[name]
const operation = (document, path, method) => document.paths[path][method]

/** What each plant does, and words that the report must have. */
const BREAKING = {
  'a path is removed': ['removed', (d) => delete d.paths['/v1/jobs']],
  'a method is removed': ['removed', (d) => delete d.paths['/v1/jobs'].get],
  'an operation is renamed': [
    'operationId',
    (d) => {
      operation(d, '/v1/jobs', 'get').operationId = 'jobs'
    },
  ],
  'a public route wants a key': [
    'credentials',
    (d) => {
      operation(d, '/v1/network', 'get').security = [{ apiKey: ['admin'] }]
    },
  ],
  'a parameter is removed': [
    'query state removed',
    (d) => {
      const jobs = operation(d, '/v1/jobs', 'get')
      jobs.parameters = jobs.parameters.filter(({ name }) => name !== 'state')
    },
  ],
  'a parameter becomes required': [
    'became required',
    (d) => {
      operation(d, '/v1/jobs', 'get').parameters[0].required = true
    },
  ],
  'a required parameter is added': [
    'new required parameter',
    (d) =>
      operation(d, '/v1/jobs', 'get').parameters.push({ name: 'x', in: 'query', required: true, schema: {} }),
  ],
  'a parameter is narrowed': [
    'maximum',
    (d) => {
      const { parameters } = operation(d, '/v1/jobs', 'get')
      parameters.find(({ name }) => name === 'limit').schema.maximum = 10
    },
  ],
  'a request field becomes required': [
    '.priority',
    (d) => schema(d, 'JobSpecInput').required.push('priority'),
  ],
  'a required request field is added': [
    '.extra',
    (d) => {
      schema(d, 'LeaseRequest').properties.extra = { type: 'string' }
      schema(d, 'LeaseRequest').required.push('extra')
    },
  ],
  'a request field is removed': ['.name: removed', (d) => delete schema(d, 'JobSpecInput').properties.name],
  'a request field changes its type': [
    'type',
    (d) => {
      schema(d, 'JobSpecInput').properties.rows = { type: 'string' }
    },
  ],
  'a request bound is narrowed': [
    'maximum',
    (d) => {
      schema(d, 'JobSpecInput').properties.rows.maximum = 5
    },
  ],
  'a request bound is added': [
    'maxLength',
    (d) => {
      d.components.schemas.ChatWorkInput.properties.system.maxLength = 1
    },
  ],
  'a request pattern changes': [
    'pattern',
    (d) => {
      schema(d, 'JobSpecInput').properties.name.pattern = '^[a-z]+$'
    },
  ],
  'a choice of a request is removed': [
    'is not among',
    (d) => {
      d.components.schemas.OnnxWorkInput.properties.runtime.enum = ['native']
    },
  ],
  'a form of a request is removed': [
    'fits none',
    (d) => {
      const work = schema(d, 'WorkSpecInput')
      const key = work.oneOf === undefined ? 'anyOf' : 'oneOf'
      work[key] = work[key].slice(1)
    },
  ],
  'a media type is no longer taken': [
    'no longer takes',
    (d) => {
      operation(d, '/v1/jobs', 'post').requestBody.content = {
        'application/cbor': operation(d, '/v1/jobs', 'post').requestBody.content['application/json'],
      }
    },
  ],
  'a body becomes required': [
    'body became required',
    (d) => {
      operation(d, '/v1/jobs', 'get').requestBody = { required: true, content: {} }
    },
  ],
  'an answer is removed': [
    'no longer answers 201',
    (d) => delete operation(d, '/v1/jobs', 'post').responses['201'],
  ],
  'a field of an answer is removed': ['.spent', (d) => remove(schema(d, 'JobView'), 'spent')],
  'a field of an answer may be missing': [
    '.spent',
    (d) => {
      const view = schema(d, 'JobView')
      view.required = view.required.filter((name) => name !== 'spent')
    },
  ],
  'a field of an answer may be null': [
    '.spent',
    (d) => {
      schema(d, 'JobView').properties.spent = { anyOf: [{ type: 'integer' }, { type: 'null' }] }
    },
  ],
  'a new value in an answer': [
    'is not among',
    (d) => schema(d, 'JobView').properties.state.enum.push('paused'),
  ],
  'a field deep in a list of an answer is removed': [
    '[].segments[].nonce',
    (d) => remove(schema(d, 'SegmentLease'), 'nonce'),
  ],
  'an answer is widened': [
    'maximum',
    (d) => {
      schema(d, 'NodeView').properties.auditRate.maximum = 100
    },
  ],
  'a keyword that the comparison does not know': [
    'multipleOf',
    (d) => {
      schema(d, 'JobSpecInput').properties.rows.multipleOf = 2
    },
  ],
}

const HARMLESS = {
  'a path is added': (d) => {
    d.paths['/v1/more'] = d.paths['/v1/network']
  },
  'an optional request field is added': (d) => {
    schema(d, 'JobSpecInput').properties.extra = { type: 'string' }
  },
  'a request bound is widened': (d) => {
    schema(d, 'JobSpecInput').properties.rows.maximum *= 2
  },
  'a choice of a request is added': (d) => {
    d.components.schemas.OnnxWorkInput.properties.runtime.enum.push('exact')
  },
  'a form of a request is added': (d) => {
    const work = schema(d, 'WorkSpecInput')
    ;(work.oneOf ?? work.anyOf).push({ type: 'object', properties: {} })
  },
  'a field of an answer is added': (d) => {
    schema(d, 'JobView').properties.extra = { type: 'string' }
    schema(d, 'JobView').required.push('extra')
  },
  'a bound of an answer is narrowed': (d) => {
    schema(d, 'NodeView').properties.auditRate.maximum = 0.5
  },
  'an optional parameter is added': (d) =>
    operation(d, '/v1/jobs', 'get').parameters.push({ name: 'x', in: 'query', required: false, schema: {} }),
  'a summary changes': (d) => {
    operation(d, '/v1/jobs', 'get').summary = 'other words'
  },
  'a schema is renamed': (d) => {
    d.components.schemas.Other = d.components.schemas.JobView
    const replaced = JSON.stringify(d.paths).replaceAll('schemas/JobView"', 'schemas/Other"')
    d.paths = JSON.parse(replaced)
  },
}

/** What the comparison missed or cried wolf at, in this document. */
export function plantFailures(document) {
  const after = (change) => {
    const copy = structuredClone(document)
    change(copy)
    return breakingChanges(document, copy)
  }
  const missed = Object.entries(BREAKING).flatMap(([name, [words, change]]) => {
    const found = after(change)
    const isCaught = found.some((line) => line.includes(words))
    return isCaught
      ? []
      : [`planted "${name}" was not caught as "${words}": ${found.join('; ') || 'nothing found'}`]
  })
  const alarms = Object.entries(HARMLESS).flatMap(([name, change]) => {
    const found = after(change)
    return found.length === 0 ? [] : [`harmless "${name}" was taken for a break: ${found[0]}`]
  })
  const same = breakingChanges(document, structuredClone(document))
  return [...missed, ...alarms, ...same.map((line) => `the document breaks itself: ${line}`)]
}

function remove(object, name) {
  delete object.properties[name]
  object.required = object.required.filter((other) => other !== name)
}
