// @platformatic/kafka against a node: admin, produce, consume, group, seek. Usage: node platformatic.mjs HOST:PORT
import { Admin, Consumer, ListOffsetTimestamps, MessagesStreamModes, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import { expect, finish, step } from './steps.mjs'

const bootstrapBrokers = [process.argv[2]]
const topic = `platformatic-${Date.now()}`
const groupId = `${topic}-group`
const admin = new Admin({ clientId: 'matrix', bootstrapBrokers })

// Reads `count` messages of the topic and closes the stream and the consumer.
async function read (consumer, options, count) {
  const stream = await consumer.consume({ topics: [topic], sessionTimeout: 10000, heartbeatInterval: 500, ...options })
  const seen = []
  for await (const message of stream) {
    seen.push(message)
    if (seen.length === count) break
  }
  return seen
}

function newConsumer (id) {
  return new Consumer({ clientId: 'matrix', groupId: id, bootstrapBrokers, deserializers: stringDeserializers, maxWaitTime: 200 })
}

await step('create_topic', async () => {
  await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1 })
  expect((await admin.listTopics()).includes(topic), 'the created topic is not listed')
})

await step('produce', async () => {
  for (const options of [{}, { idempotent: true }, { compression: 'gzip' }]) {
    const producer = new Producer({ clientId: 'matrix', bootstrapBrokers, serializers: stringSerializers, ...options })
    const messages = Array.from({ length: 99 }, (_, i) => ({ topic, key: `k${i}`, value: `v${i}`, partition: i % 3 }))
    await producer.send({ messages, acks: -1 })
    await producer.close()
  }
})

await step('consume_group', async () => {
  const consumer = newConsumer(groupId)
  const seen = await read(consumer, { mode: MessagesStreamModes.EARLIEST, autocommit: false }, 297)
  expect(new Set(seen.map(m => `${m.partition}/${m.offset}`)).size === 297, 'not 297 different records')
  await consumer.commit({ offsets: [0, 1, 2].map(partition => ({ topic, partition, offset: 99n, leaderEpoch: 0 })) })
  await consumer.close(true)
})

await step('list_offsets', async () => {
  const consumer = newConsumer(`${groupId}-offsets`)
  const offsets = await consumer.listOffsets({ topics: [topic], timestamp: ListOffsetTimestamps.LATEST })
  expect(offsets.get(topic).every(offset => offset === 99n), 'a log does not end at 99')
  await consumer.close(true)
})

await step('seek', async () => {
  const consumer = newConsumer(`${groupId}-seek`)
  const offsets = [0, 1, 2].map(partition => ({ topic, partition, offset: 42n }))
  const [first] = await read(consumer, { mode: MessagesStreamModes.MANUAL, offsets, autocommit: false }, 1)
  expect(first.offset === 42n, `the record after seek(42) is ${first.offset}`)
  await consumer.close(true)
})

await step('groups', async () => {
  expect((await admin.listGroups()).has(groupId), 'the group is not listed')
  await admin.deleteGroups({ groups: [groupId] })
})

await step('delete_topic', async () => {
  await admin.deleteTopics({ topics: [topic] })
  expect(!(await admin.listTopics()).includes(topic), 'the deleted topic is still listed')
})
finish()
