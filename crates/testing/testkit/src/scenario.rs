//! Given/when/then tests of a domain, executed as the engine executes commands.

use std::collections::HashMap;
use std::marker::PhantomData;

use bakehouse_engine::ports::{Checkpoint, Verdict};
use bakehouse_engine::stages::execute::execute;
use bakehouse_engine::{Domain, Entity, EntityRecord, LogEntry, Operation, Position, Timestamp};

use crate::operations;

/// Id of the entity in every scenario.
pub const ENTITY: &str = "0190f5fe-0000-7000-8000-000000000001";

/// Returns the time at which the entry at a position is stored: 2026-01-01 12:00:00 UTC plus one
/// second per position.
#[must_use]
pub fn at(position: Position) -> Timestamp {
    let noon = Timestamp::parse("2026-01-01T12:00:00Z")
        .expect("valid")
        .millis();
    Timestamp::from_millis(noon + i64::try_from(position).expect("small") * 1_000).expect("valid")
}

/// History of one entity.
pub struct Scenario<D> {
    checkpoint: Checkpoint,
    record: Option<EntityRecord>,
    domain: PhantomData<D>,
}

/// Outcome of the last command.
pub struct Outcome<D> {
    verdict: Verdict,
    scenario: Scenario<D>,
}

impl<D: Domain> Scenario<D> {
    /// Executes these commands.
    ///
    /// # Panics
    /// If one of them is rejected.
    pub fn given(commands: impl IntoIterator<Item = D::Command>) -> Self {
        let mut scenario = Self {
            checkpoint: Checkpoint::default(),
            record: None,
            domain: PhantomData,
        };
        for command in commands {
            let verdict = scenario.execute(&command);
            assert!(
                matches!(verdict, Verdict::Executed { .. }),
                "given: {verdict:?}"
            );
        }
        scenario
    }

    /// Executes one more command.
    #[must_use]
    pub fn when(mut self, command: D::Command) -> Outcome<D> {
        let verdict = self.execute(&command);
        Outcome {
            verdict,
            scenario: self,
        }
    }

    fn execute(&mut self, command: &D::Command) -> Verdict {
        let position = self.checkpoint.position + 1;
        let event = LogEntry::stored(position, at(position), operation::<D>(command));
        let records: HashMap<_, _> = self
            .record
            .clone()
            .map(|record| (ENTITY.to_owned(), record))
            .into_iter()
            .collect();
        let mut execution =
            execute::<D>(self.checkpoint, &[event], records, Vec::new(), at(position))
                .expect("a scenario is consistent");
        self.checkpoint = execution.to;
        if let Some(write) = execution.entities.pop() {
            self.record = Some(write.record);
        }
        execution.verdicts.remove(0)
    }

    fn entity(&self) -> Option<Entity<D::State>> {
        let record = self.record.clone()?;
        let read = |state: bakehouse_engine::Json| serde_json::from_str(state.get());
        Some(
            record
                .try_map(read)
                .expect("the domain reads its own state"),
        )
    }
}

fn operation<D: Domain>(command: &D::Command) -> Operation {
    Operation {
        service_name: D::NAME.to_owned(),
        schema_version: D::version_of(command),
        ..operations::operation(ENTITY, command)
    }
}

impl<D: Domain> Outcome<D> {
    /// Asserts that the command was executed with this change.
    ///
    /// # Panics
    /// If it was not, or if the domain does not list the change in `CHANGES`.
    pub fn then_changed(self, change: &str) -> Self {
        assert!(D::CHANGES.contains(&change), "{change} is not in CHANGES");
        let expected = Verdict::Executed {
            change: change.to_owned(),
        };
        assert_eq!(self.verdict, expected);
        self
    }

    /// Asserts that the command was rejected for this reason.
    ///
    /// # Panics
    /// If it was executed, or rejected for another reason.
    pub fn then_refused(self, reason: &str) -> Self {
        match &self.verdict {
            Verdict::Rejected(rejection) => assert_eq!(rejection.reason, reason),
            other => panic!("expected a rejection, found {other:?}"),
        }
        self
    }

    /// Asserts that the current document equals `expected`.
    ///
    /// # Panics
    /// If it differs, or the entity does not exist.
    pub fn then_document(self, expected: &serde_json::Value) -> Self {
        assert_eq!(&self.document(), expected);
        self
    }

    /// Returns the current document.
    ///
    /// # Panics
    /// If the entity does not exist.
    #[must_use]
    pub fn document(&self) -> serde_json::Value {
        let entity = self.scenario.entity().expect("the entity exists");
        serde_json::to_value(D::bake(&entity)).expect("a document has a JSON form")
    }

    /// Runs assertions on the current state.
    ///
    /// # Panics
    /// If `check` panics, or the entity does not exist.
    pub fn then_state(self, check: impl FnOnce(&D::State)) -> Self {
        check(&self.scenario.entity().expect("the entity exists").state);
        self
    }
}
