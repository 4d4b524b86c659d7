//! A producer without sequence numbers that sends every batch once, with any kind of acknowledgement.

use futures_util::future::LocalBoxFuture;
use kafka_protocol::messages::ProduceRequest;
use protocol_compat::error_code::ErrorCode;
use uuid::Uuid;

use super::batches;
use super::outcomes::{self, Outcome};
use super::pace::pause;
use super::produce::{self, Style};
use super::topics::{self, Topic};
use crate::client::{Client, Failure};
use crate::marked_record::RecordId;
use crate::rng::Rng;
use crate::world::{Actor, Phase, World};

/// The producer.
pub struct PlainProducer {
    name: String,
    topic: Topic,
    style: Style,
    acks: i16,
    rng: Rng,
    /// Requests that are still to be sent.
    left: u32,
    producer: u32,
    next_number: u32,
}

impl PlainProducer {
    /// A producer of `requests` requests to `topic`.
    pub fn new(name: String, topic: Topic, requests: u32, mut rng: Rng) -> PlainProducer {
        PlainProducer {
            name,
            style: Style::chosen(&topic, &mut rng),
            acks: *rng.pick(&[-1, -1, 1, 0]),
            topic,
            rng,
            left: requests,
            producer: 0,
            next_number: 0,
        }
    }

    async fn work(&mut self, world: &World) {
        let mut client = Client::new(world, &self.name);
        let mut topic_id = None;
        while self.left > 0 && world.phase() == Phase::Working {
            let step = self.step(&mut client, world, &mut topic_id).await;
            if step.is_err() {
                topic_id = None;
            }
            pause(&mut self.rng, step, 60).await;
        }
    }

    async fn step(
        &mut self,
        client: &mut Client,
        world: &World,
        topic_id: &mut Option<Uuid>,
    ) -> Result<(), Failure> {
        let id = topics::known_id(client, world, &self.topic, topic_id).await?;
        self.left -= 1;
        let (request, sent) = self.request(id, world);
        if self.acks == 0 {
            return client.send(self.style.version, &request, false).await;
        }
        let response = client
            .call::<ProduceRequest>(self.style.version, &request)
            .await?;
        let answers = produce::answers(&response);
        for (index, ids) in sent {
            let Some((code, base_offset)) = answers.get(&index) else {
                continue;
            };
            self.answered(id, index, &ids, *code, *base_offset, world);
            if *code != ErrorCode::None {
                *topic_id = None;
            }
        }
        Ok(())
    }

    fn request(&mut self, id: Uuid, world: &World) -> (ProduceRequest, Vec<(i32, Vec<RecordId>)>) {
        let mut history = world.history().borrow_mut();
        if self.producer == 0 {
            self.producer = history.new_producer();
        }
        let (mut data, mut sent) = (Vec::new(), Vec::new());
        let mut indexes: Vec<i32> = (0..self.topic.partitions).collect();
        let wanted = self.rng.between(1, 4) as usize;
        while indexes.len() > wanted {
            indexes.remove(self.rng.below(indexes.len() as u64) as usize);
        }
        for index in indexes {
            let mut records = Vec::new();
            for _ in 0..self.style.batch_size(&mut self.rng) {
                let id = RecordId {
                    producer: self.producer,
                    number: self.next_number,
                };
                self.next_number += 1;
                records.push(self.style.record(id, &mut self.rng));
            }
            for record in &records {
                history.record_sent(self.topic.partition(id, index), record, false);
            }
            let bytes = batches::batch(&records, self.style.codec, None, world.now_ms());
            data.push((index, bytes));
            sent.push((index, records.iter().map(|record| record.id).collect()));
        }
        (
            produce::request(&self.topic, id, self.acks, data, self.style.version),
            sent,
        )
    }

    fn answered(
        &self,
        id: Uuid,
        index: i32,
        ids: &[RecordId],
        code: ErrorCode,
        base_offset: i64,
        world: &World,
    ) {
        let partition = self.topic.partition(id, index);
        if code != ErrorCode::None {
            world.trace(format_args!("{} partition {index}: {}", self.name, code.name()));
        }
        let mut history = world.history().borrow_mut();
        if outcomes::slanders_the_batch(code) {
            history.batch_slandered(partition, code.name());
        }
        match outcomes::of_produce(code) {
            Outcome::Acked => {
                history.batch_acked(
                    partition,
                    ids,
                    Some(base_offset).filter(|offset| *offset >= 0),
                    self.acks == -1,
                );
            }
            Outcome::Refused => history.batch_refused(partition, ids),
            Outcome::Unknown => {}
        }
    }
}

impl Actor for PlainProducer {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn live<'a>(&'a mut self, world: World) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move { self.work(&world).await })
    }
}
