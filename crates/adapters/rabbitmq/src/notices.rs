//! Notices that wake the stages. Every receiver has an exclusive queue, which is deleted with its
//! connection.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bakehouse_engine::backoff::Backoff;
use bakehouse_engine::ports::{Notice, NoticeStream, Notices, Topic};
use bakehouse_engine::{Frame, Position};
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, Consumer};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::connection::{Target, reason};
use crate::publisher::{Message, Publisher};

/// Notices buffered per receiver at most; beyond that it is told to read from the stores.
const NOTICE_BUFFER: usize = 256;
/// Messages in a receiver's queue at most; the broker drops the oldest.
const MAX_QUEUE_LENGTH: i32 = 1_000;
/// Approximate bytes of frames per message at most; brokers from 4.0 on accept 16 MiB.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

pub(crate) struct RabbitNotices {
    pub(crate) target: Target,
    pub(crate) publisher: Publisher,
}

/// Body of the notice that the log has grown.
#[derive(Serialize, Deserialize)]
struct Stored {
    head: Position,
}

/// Body of the notice that entities have changed; the routing key is the kind of change.
#[derive(Serialize, Deserialize)]
struct Executed {
    from: Position,
    to: Position,
    ids: Vec<String>,
}

/// Body of the notice that frames have been baked.
#[derive(Serialize, Deserialize)]
struct Baked {
    from: Position,
    frames: Vec<Frame>,
}

impl RabbitNotices {
    fn messages(&self, notice: Notice) -> serde_json::Result<Vec<Message>> {
        match notice {
            Notice::Stored { head } => {
                let target = &self.target;
                let body = serde_json::to_vec(&Stored { head })?;
                let (exchange, key) = (target.scheduler_exchange(), target.stored_key());
                Ok(vec![Message::json(exchange, key, body)])
            }
            Notice::Executed { from, to, changes } => self.executed(from, to, changes),
            Notice::Baked { from, frames } => self.baked(from, frames),
        }
    }

    /// Returns one message per kind of change.
    fn executed(
        &self,
        from: Position,
        to: Position,
        changes: Vec<(String, String)>,
    ) -> serde_json::Result<Vec<Message>> {
        let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (kind, id) in changes {
            kinds.entry(kind).or_default().push(id);
        }
        let message = |(key, ids)| {
            let body = serde_json::to_vec(&Executed { from, to, ids })?;
            Ok(Message::json(self.target.source_exchange(), key, body))
        };
        kinds.into_iter().map(message).collect()
    }

    /// Splits frames into messages; each starts at the position where the previous one ends.
    fn baked(&self, from: Position, frames: Vec<Frame>) -> serde_json::Result<Vec<Message>> {
        let mut messages = Vec::new();
        let mut part = Baked {
            from,
            frames: Vec::new(),
        };
        let mut size = 0;
        for frame in frames {
            size += frame.body.get().len();
            let position = frame.position;
            part.frames.push(frame);
            if size > MAX_MESSAGE_BYTES {
                messages.push(self.baked_message(&part)?);
                part = Baked {
                    from: position,
                    frames: Vec::new(),
                };
                size = 0;
            }
        }
        if !part.frames.is_empty() {
            messages.push(self.baked_message(&part)?);
        }
        Ok(messages)
    }

    fn baked_message(&self, part: &Baked) -> serde_json::Result<Message> {
        let target = &self.target;
        let body = serde_json::to_vec(part)?;
        Ok(Message::json(
            target.socket_exchange(),
            target.baked_key(),
            body,
        ))
    }
}

#[async_trait]
impl Notices for RabbitNotices {
    async fn publish(&self, notice: Notice) {
        match self.messages(notice) {
            Ok(messages) => {
                for message in messages {
                    self.publisher.publish_if_possible(message).await;
                }
            }
            Err(error) => tracing::error!("cannot serialize a notice: {error}"),
        }
    }

    async fn subscribe(&self, topic: Topic) -> Box<dyn NoticeStream> {
        let (sender, receiver) = mpsc::channel(NOTICE_BUFFER);
        tokio::spawn(keep_subscribed(self.target.clone(), topic, sender));
        Box::new(RabbitNoticeStream(receiver))
    }
}

/// Receiver of notices; `None` means that some may have been missed.
struct RabbitNoticeStream(mpsc::Receiver<Option<Notice>>);

#[async_trait]
impl NoticeStream for RabbitNoticeStream {
    async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Some(notice) => notice,
            // The task ends before the receiver only when the runtime shuts down.
            None => std::future::pending().await,
        }
    }
}

/// Subscribes, and again after every loss of the connection, until the receiver is dropped.
async fn keep_subscribed(target: Target, topic: Topic, sender: mpsc::Sender<Option<Notice>>) {
    let mut backoff = Backoff::default();
    while !sender.is_closed() {
        match open(&target, topic).await {
            Ok((_connection, mut consumer)) => {
                backoff.reset();
                // Notices sent before the subscription were missed.
                let _ = sender.send(None).await;
                forward(&mut consumer, topic, &sender).await;
            }
            Err(error) => tracing::debug!("cannot subscribe to notices: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.step()) => {}
            () = sender.closed() => {}
        }
    }
}

async fn open(target: &Target, topic: Topic) -> Result<(Connection, Consumer), String> {
    let (connection, _) = target.connect("listening").await?;
    let consumer = consume(target, &connection, topic).await.map_err(reason)?;
    Ok((connection, consumer))
}

async fn consume(
    target: &Target,
    connection: &Connection,
    topic: Topic,
) -> lapin::Result<Consumer> {
    let channel = connection.create_channel().await?;
    let mut limit = FieldTable::default();
    limit.insert("x-max-length".into(), AMQPValue::LongInt(MAX_QUEUE_LENGTH));
    let queue = channel
        .queue_declare("".into(), QueueDeclareOptions::exclusive(), limit)
        .await?;
    let name = queue.name().clone();
    let (exchange, key) = match topic {
        Topic::Stored => (target.scheduler_exchange(), target.stored_key()),
        Topic::Executed => (target.source_exchange(), format!("{}.*", target.domain)),
        Topic::Baked => (target.socket_exchange(), target.baked_key()),
    };
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel
        .queue_bind(name.clone(), exchange.into(), key.into(), options, none)
        .await?;
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    channel
        .basic_consume(name, "".into(), options, FieldTable::default())
        .await
}

/// Forwards notices until the connection is lost or the receiver is dropped.
async fn forward(consumer: &mut Consumer, topic: Topic, sender: &mpsc::Sender<Option<Notice>>) {
    let mut is_behind = false;
    loop {
        let delivery = tokio::select! {
            delivery = consumer.next() => delivery,
            () = sender.closed() => return,
        };
        let Some(Ok(delivery)) = delivery else { return };
        let notice = parse(topic, delivery.routing_key.as_str(), &delivery.data);
        if is_behind && sender.try_send(None).is_ok() {
            is_behind = false;
        }
        is_behind |= sender.try_send(notice).is_err();
    }
}

/// Parses a notice. `None`: its form is unknown to this version, so the receiver must read from the
/// stores.
pub(crate) fn parse(topic: Topic, key: &str, body: &[u8]) -> Option<Notice> {
    let notice = match topic {
        Topic::Stored => {
            serde_json::from_slice(body).map(|Stored { head }| Notice::Stored { head })
        }
        Topic::Executed => serde_json::from_slice(body).map(|Executed { from, to, ids }| {
            let changes = ids.into_iter().map(|id| (key.to_owned(), id)).collect();
            Notice::Executed { from, to, changes }
        }),
        Topic::Baked => serde_json::from_slice(body)
            .map(|Baked { from, frames }| Notice::Baked { from, frames }),
    };
    notice.ok()
}
