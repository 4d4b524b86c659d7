//! The topic of a load: one that exists, or one that is created for it and deleted afterwards.

use std::time::{SystemTime, UNIX_EPOCH};

use super::control::Control;
use super::error::LoadError;
use super::plan::Plan;
use super::requests::Frame;

/// A topic that is there.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// Whether the load created it.
    is_ours: bool,
}

impl Topic {
    /// The topic that the plan names, or a new one with these keys.
    ///
    /// # Errors
    /// If the topic has another number of partitions than was typed, and what the broker answers.
    pub fn prepare(control: &mut Control, plan: &Plan, keys: &[(&str, &str)]) -> Result<Self, LoadError> {
        let name = plan.topic.clone().unwrap_or_else(new_name);
        let existing = match plan.topic {
            Some(_) => control.topic(&name)?,
            None => None,
        };
        if let Some(found) = existing {
            let partitions = u32::try_from(found.partitions).unwrap_or(u32::MAX);
            if plan.partitions_are_given && partitions != plan.partitions {
                return Err(LoadError::Refused(format!(
                    "the topic {name} has {partitions} partitions, and --partitions says {}",
                    plan.partitions
                )));
            }
            return Ok(Self {
                name,
                partitions,
                is_ours: false,
            });
        }
        Self::create(control, name, plan.partitions, keys)
    }

    /// A new topic with these keys.
    ///
    /// # Errors
    /// What the broker answers.
    pub fn create(
        control: &mut Control,
        name: String,
        partitions: u32,
        keys: &[(&str, &str)],
    ) -> Result<Self, LoadError> {
        control.create_topic(&name, partitions, keys)?;
        Ok(Self {
            name,
            partitions,
            is_ours: true,
        })
    }

    /// Deletes it if the load created it.
    ///
    /// # Errors
    /// What the broker answers.
    pub fn remove(self, control: &mut Control) -> Result<(), LoadError> {
        match self.is_ours {
            true => control.delete_topic(&self.name),
            false => Ok(()),
        }
    }

    /// The partitions' numbers.
    pub fn numbers(&self) -> impl Iterator<Item = i32> + Clone + use<> {
        (0..self.partitions).map(|number| i32::try_from(number).unwrap_or(i32::MAX))
    }

    /// The partitions of one of so many connections: each has its own as long as there are enough, otherwise several
    /// connections share one.
    pub fn share(&self, connection: u32, connections: u32) -> Vec<i32> {
        if self.partitions < connections {
            let number = connection % self.partitions.max(1);
            return vec![i32::try_from(number).unwrap_or(i32::MAX)];
        }
        self.numbers()
            .skip(connection as usize)
            .step_by(connections.max(1) as usize)
            .collect()
    }

    /// Produces a batch to each partition and gives their offsets: the broker leads them all then.
    ///
    /// # Errors
    /// What the broker answers.
    pub fn produce_to_each(&self, control: &mut Control, request: &Frame) -> Result<Vec<i64>, LoadError> {
        let mut request = request.clone();
        self.numbers()
            .map(|partition| control.produce_once_led(&mut request, partition))
            .collect()
    }
}

/// A name that no other load has.
pub fn new_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.map_or(0, |since| since.as_millis());
    format!("cauce-bench-load-{}-{now_ms}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(partitions: u32) -> Topic {
        Topic {
            name: "orders".to_owned(),
            partitions,
            is_ours: false,
        }
    }

    #[test]
    fn partitions_are_shared_out_whole() {
        let shares: Vec<Vec<i32>> = (0..3).map(|connection| topic(5).share(connection, 3)).collect();
        assert_eq!(shares, [vec![0, 3], vec![1, 4], vec![2]]);
        let shares: Vec<Vec<i32>> = (0..3).map(|connection| topic(2).share(connection, 3)).collect();
        assert_eq!(shares, [vec![0], vec![1], vec![0]]);
    }
}
