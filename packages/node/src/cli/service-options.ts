/** Options of a service on its command line: flags before environment before one file before defaults. */
import { type Command, Option } from 'commander'
import { type Config, envName, loadConfigFile, type OptionSpecs, readConfig } from '../service/config.ts'
import { createLog, LOG_LEVELS, type Log, type LogLevel } from '../service/log.ts'

/** Of commands, tests and other services, and no mistakes for this one. */
const OTHER_VARIABLES = ['ASSAY_URL', 'ASSAY_TOKEN', 'ASSAY_FIXTURES', 'ASSAY_TEST_*', 'ASSAY_BENCH_*']

export interface ServiceFlags {
  readonly config?: string
  readonly logLevel: LogLevel
  readonly json?: boolean
  readonly [name: string]: unknown
}

/** `maxConnections` becomes `--max-connections <value>`. */
export function addServiceOptions(command: Command, specs: OptionSpecs): Command {
  for (const [name, { help, default: value, env }] of Object.entries(specs)) {
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    const shown = value === undefined ? '' : `, default ${JSON.stringify(value)}`
    const variable = env === undefined ? envName(name) : `${env} or ${envName(name)}`
    command.addOption(new Option(`--${flag} <value>`, `${help} ($${variable}${shown})`))
  }
  return command
    .option('--config <file>', 'options as one JSON object, below flags and environment')
    .addOption(
      new Option('--log-level <level>', 'lines below are not written').choices(LOG_LEVELS).default('info'),
    )
}

/** What the service is started with, checked; and its log, on standard error, which never shows a secret. */
export function readService<const Specs extends OptionSpecs>(
  specs: Specs,
  { config: path, logLevel, json: _, ...flags }: ServiceFlags,
): { readonly config: Config<Specs>; readonly log: Log } {
  const given = Object.fromEntries(Object.entries(flags).filter(([name]) => Object.hasOwn(specs, name)))
  const file = path === undefined ? undefined : loadConfigFile(path)
  const config = readConfig(specs, { flags: given, env: process.env, file, otherEnv: OTHER_VARIABLES })
  const log = createLog({ level: logLevel })
  for (const secret of config.secrets) log.hide(secret)
  log.debug('configuration', config.describe())
  return { config, log }
}
