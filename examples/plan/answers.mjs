/**
 * What a language model answered to six requests, three times each: the same plan in other words. It stands for a
 * model that samples its text, so that no two runs print the same.
 */
const ANNA = '0x71C7656EC7ab88b098defB751B7401B5f6d8976F'
const BORIS = '0x2546BcD3c84621e976D8185a91A922aE77ECEc30'

export const answers = {
  'Pay Anna 250 USDC from the treasury.': {
    plain: `1. check_balance(wallet="treasury", asset="USDC") 2. verify_recipient(address="${ANNA}") 3. transfer(to="${ANNA}", asset="USDC", amount=250)`,
    chatty: `Sure! Here is how I would go about it:

1. See whether there is enough: \`check_balance(asset="USDC", wallet="treasury")\`
2. Make sure that we may pay this address: \`verify_recipient(address="${ANNA}")\`
3. Then send it: \`transfer(amount=250.00, asset="USDC", to="${ANNA}")\`

Let me know once it has arrived.`,
    tools: toolCalls([
      ['check_balance', { wallet: 'treasury', asset: 'USDC' }],
      ['verify_recipient', { address: ANNA }],
      ['transfer', { to: ANNA, amount: 250, asset: 'USDC' }],
    ]),
  },
  'Pay Boris 80 EUR, but only after the invoice was approved.': {
    plain: `1. check_approval(invoice="2024-118")
2. verify_recipient(address="${BORIS}")
3. transfer(to="${BORIS}", asset="EUR", amount=80)`,
    chatty: `Step 1: \`check_approval(invoice="2024-118")\`, because you asked for the approval first.
Step 2: \`verify_recipient(address="${BORIS}")\`
Step 3: \`transfer(asset="EUR", amount=80, to="${BORIS}")\``,
    tools: toolCalls([
      ['check_approval', { invoice: '2024-118' }],
      ['verify_recipient', { address: BORIS }],
      ['transfer', { asset: 'EUR', to: BORIS, amount: 80 }],
    ]),
  },
  'Swap half an ether for USDC, with at most one percent slippage.': {
    plain:
      '1. quote(sell="ETH", buy="USDC", amount=0.5) 2. swap(sell="ETH", buy="USDC", amount=0.5, max_slippage=0.01)',
    chatty: `I would ask for a price before I trade.

1. \`quote(amount=0.5, buy="USDC", sell="ETH")\` gives the price.
2. \`swap(amount=0.5, buy="USDC", max_slippage=0.010, sell="ETH")\` trades at it, or not at all.`,
    tools: toolCalls([
      ['quote', { sell: 'ETH', buy: 'USDC', amount: 0.5 }],
      ['swap', { sell: 'ETH', buy: 'USDC', amount: 0.5, max_slippage: 0.01 }],
    ]),
  },
  'Return the deposit of booking 5512 to Anna.': {
    plain: `1. find_booking(number=5512) 2. verify_recipient(address="${ANNA}") 3. refund(booking=5512, to="${ANNA}")`,
    chatty: `Of course. First I look the booking up, then I check the address, then I return the deposit:

1. \`find_booking(number=5512)\`
2. \`verify_recipient(address="${ANNA}")\`
3. \`refund(to="${ANNA}", booking=5512)\``,
    tools: toolCalls([
      ['find_booking', { number: 5512 }],
      ['verify_recipient', { address: ANNA }],
      ['refund', { booking: 5512, to: ANNA }],
    ]),
  },
  'Put 1,000 USDC aside until the end of the year.': {
    plain:
      '1. check_balance(wallet="treasury", asset="USDC") 2. lock(asset="USDC", amount=1000, until="2024-12-31")',
    chatty: `Here is the plan.

1. \`check_balance(wallet="treasury", asset="USDC")\`
2. \`lock(until="2024-12-31", asset="USDC", amount=1000)\`

Nobody can touch the money before that day.`,
    tools: toolCalls([
      ['check_balance', { asset: 'USDC', wallet: 'treasury' }],
      ['lock', { asset: 'USDC', until: '2024-12-31', amount: 1000 }],
    ]),
  },
  'Split 90 EUR evenly between Anna and Boris.': {
    plain: `1. verify_recipient(address="${ANNA}") 2. verify_recipient(address="${BORIS}") 3. transfer(to="${ANNA}", asset="EUR", amount=45) 4. transfer(to="${BORIS}", asset="EUR", amount=45)`,
    chatty: `That makes 45 EUR each.

1. \`verify_recipient(address="${ANNA}")\`
2. \`verify_recipient(address="${BORIS}")\`
3. \`transfer(asset="EUR", to="${ANNA}", amount=45)\`
4. \`transfer(asset="EUR", to="${BORIS}", amount=45.0)\``,
    tools: toolCalls([
      ['verify_recipient', { address: ANNA }],
      ['verify_recipient', { address: BORIS }],
      ['transfer', { to: ANNA, asset: 'EUR', amount: 45 }],
      ['transfer', { to: BORIS, asset: 'EUR', amount: 45 }],
    ]),
  },
}

function toolCalls(calls) {
  const list = calls.map(([name, args]) => ({ name, arguments: args }))
  return `\`\`\`json\n${JSON.stringify(list, null, 2)}\n\`\`\``
}
