// kafkajs against a node: admin, produce, consume, group with commit, seek. Usage: node kafkajs.mjs HOST:PORT
import kafkajs from 'kafkajs'
import { expect, finish, step } from './steps.mjs'

const { Kafka, logLevel, CompressionTypes } = kafkajs
const kafka = new Kafka({ clientId: 'matrix', brokers: [process.argv[2]], logLevel: logLevel.NOTHING })
const topic = `kafkajs-${Date.now()}`
const groupId = `${topic}-group`
const admin = kafka.admin()
await admin.connect()

await step('create_topic', async () => {
  expect(await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: 3 }] }), 'not created')
  expect((await admin.listTopics()).includes(topic), 'the created topic is not listed')
})

await step('describe_configs', async () => {
  const answer = await admin.describeConfigs({ includeSynonyms: true, resources: [{ type: 2, name: topic }] })
  const policy = answer.resources[0].configEntries.find(entry => entry.configName === 'cleanup.policy')
  expect(policy.configValue === 'delete', 'cleanup.policy is not delete')
})

await step('produce', async () => {
  for (const [idempotent, compression] of [[false, CompressionTypes.None], [true, CompressionTypes.GZIP]]) {
    const producer = kafka.producer({ idempotent })
    await producer.connect()
    const messages = Array.from({ length: 150 }, (_, i) => ({ key: `k${i}`, value: `v${i}`, partition: i % 3 }))
    await producer.send({ topic, acks: -1, compression, messages })
    await producer.disconnect()
  }
})

await step('consume_group', async () => {
  const consumer = kafka.consumer({ groupId })
  const seen = new Set()
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, event => reject(event.payload.error))
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        seen.add(`${partition}/${message.offset}`)
        if (seen.size === 300) resolve()
      }
    }).catch(reject)
  })
  await consumer.commitOffsets([0, 1, 2].map(partition => ({ topic, partition, offset: '100' })))
  await consumer.disconnect()
})

await step('committed_offsets', async () => {
  const [answer] = await admin.fetchOffsets({ groupId, topics: [topic] })
  expect(answer.partitions.every(({ offset }) => offset === '100'), 'a committed offset is not 100')
})

await step('seek', async () => {
  const consumer = kafka.consumer({ groupId: `${groupId}-seek` })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const first = await new Promise((resolve, reject) => {
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        if (partition === 1 && Number(message.offset) === 42) resolve(Number(message.offset))
      }
    }).catch(reject)
    consumer.seek({ topic, partition: 1, offset: '42' })
  })
  expect(first === 42, 'the record after seek(42) is not 42')
  await consumer.disconnect()
})

await step('groups', async () => {
  expect((await admin.listGroups()).groups.some(group => group.groupId === groupId), 'the group is not listed')
  const described = await admin.describeGroups([groupId])
  expect(described.groups[0].state === 'Empty', 'the left group is not empty')
  await admin.deleteGroups([groupId])
})

await step('delete_topic', async () => {
  await admin.deleteTopics({ topics: [topic] })
  expect(!(await admin.listTopics()).includes(topic), 'the deleted topic is still listed')
})
await admin.disconnect()
finish()
