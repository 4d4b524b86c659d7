// Runs named steps of one client's script and prints a line for each: what the matrix counts.
const failed = []

// Runs `action` within a minute; a failure is printed and remembered, and the next step still runs.
export async function step (name, action) {
  let timer
  try {
    const limit = new Promise((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error('not finished within 60 s')), 60000)
    })
    await Promise.race([action(), limit])
    console.log(`ok    ${name}`)
  } catch (error) {
    failed.push(name)
    console.log(`FAIL  ${name}: ${error.message}`)
    for (const cause of error.errors ?? []) console.log(`      ${cause.message}`)
  } finally {
    clearTimeout(timer)
  }
}

// Throws `sentence` unless `condition` holds.
export function expect (condition, sentence) {
  if (!condition) throw new Error(sentence)
}

// Ends the process: 0 if every step held.
export function finish () {
  process.exit(failed.length === 0 ? 0 : 1)
}
