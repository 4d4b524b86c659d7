//! A client that does not behave: half a frame and then silence, answers that it never reads, lengths that are lies, bytes
//! that are none of Kafka's. All the others must not notice.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::net::SimStream;
use crate::rng::Rng;
use crate::world::{Actor, Phase, World};

/// Connections that are kept open while more are made.
const MAX_HELD: usize = 6;
/// Longer than it has to wait for the node to read what it sends.
const PATIENCE: Duration = Duration::from_secs(2);
/// ApiVersions 0 with correlation id 1 and no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
/// Metadata 1 of all topics.
const METADATA: [u8; 18] = [
    0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];

/// The client.
pub struct RudeClient {
    name: String,
    rng: Rng,
    left: u32,
}

impl RudeClient {
    /// A client that does `steps` rude things.
    pub fn new(name: String, steps: u32, rng: Rng) -> RudeClient {
        RudeClient {
            name,
            rng,
            left: steps,
        }
    }

    async fn work(&mut self, world: &World) {
        let mut held: VecDeque<SimStream> = VecDeque::new();
        while self.left > 0 && world.phase() == Phase::Working {
            self.left -= 1;
            if let Ok(mut stream) = world.connect(&self.name).await {
                let is_answered = self.misbehave(&mut stream).await;
                world.trace(format_args!("{} is answered: {is_answered}", self.name));
                held.push_back(stream);
            }
            if held.len() > MAX_HELD {
                held.pop_front();
            }
            sleep(Duration::from_millis(self.rng.below(300))).await;
        }
    }

    /// Says whether it waited for an answer and got one.
    async fn misbehave(&mut self, stream: &mut SimStream) -> bool {
        let bytes = match self.rng.below(7) {
            0 => Vec::new(),
            1 => API_VERSIONS[..self.rng.below(API_VERSIONS.len() as u64) as usize].to_vec(),
            2 => self.noise(200),
            3 => [i32::MAX.to_be_bytes().to_vec(), self.noise(50)].concat(),
            4 => (-1_i32).to_be_bytes().to_vec(),
            5 => self.damaged(),
            // Many questions, and nobody reads the answers.
            _ => METADATA.repeat(50),
        };
        // Whether the node takes it, refuses it or hangs up is its own affair.
        let sent = timeout(PATIENCE, stream.write_all(&bytes)).await;
        if !matches!(sent, Ok(Ok(()))) || !self.rng.chance(300) {
            return false;
        }
        let mut answer = [0; 16];
        matches!(timeout(PATIENCE, stream.read(&mut answer)).await, Ok(Ok(1..)))
    }

    fn noise(&mut self, most: u64) -> Vec<u8> {
        (0..self.rng.below(most)).map(|_| self.rng.bits() as u8).collect()
    }

    /// A good request with one wrong byte behind the length.
    fn damaged(&mut self) -> Vec<u8> {
        let mut bytes = METADATA.to_vec();
        let at = self.rng.between(4, METADATA.len() as u64 - 1) as usize;
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << self.rng.below(8);
        }
        bytes
    }
}

impl Actor for RudeClient {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn live<'a>(&'a mut self, world: World) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move { self.work(&world).await })
    }
}
