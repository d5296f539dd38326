//! Whom to tell of what became of an order, and in which words.
//!
//! Customers are told by mail and text message, other programs by webhooks,
//! each of the kinds of events that the operator chose. A rejection has no order
//! with it, so that only webhooks can tell of one; its sender reads it in the receipt.

use bakehouse_engine::model::frame;
use bakehouse_engine::model::notification::{Announcement, NotificationRules, Request};
use bakehouse_engine::ports::{Mail, ShortText};
use bakehouse_engine::{Frame, Timestamp, to_json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Orders;
use crate::{Customer, Status};

/// A choice of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events(Vec<String>);

/// Text that is no kind of event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: expected *, or one of {all}", all = frame::kinds::<Orders>().join(", "))]
pub struct UnknownKind(String);

impl Events {
    /// These kinds; `*` stands for all of them.
    ///
    /// # Errors
    /// [`UnknownKind`].
    pub fn of(kinds: &[String]) -> Result<Self, UnknownKind> {
        let is_known =
            |kind: &str| kind == "*" || frame::kinds::<Orders>().iter().any(|known| known == kind);
        match kinds.iter().find(|kind| !is_known(kind)) {
            Some(unknown) => Err(UnknownKind(unknown.clone())),
            None => Ok(Self(kinds.to_vec())),
        }
    }

    fn include(&self, kind: &str) -> bool {
        self.0.iter().any(|chosen| chosen == "*" || chosen == kind)
    }
}

/// What is told to a webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Which one.
    pub lane: String,
    /// Its host, to be shown.
    pub host: String,
    /// Which events.
    pub events: Events,
}

/// Whom to tell of which events.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Of which customers get a mail, if any.
    pub mail: Events,
    /// Of which they get a text message.
    pub sms: Events,
    /// Who else is told.
    pub webhooks: Vec<Webhook>,
}

/// The lane of mails.
pub const MAIL: &str = "email";
/// The lane of text messages.
pub const SMS: &str = "sms";

/// A frame, as far as it matters here.
#[derive(Deserialize)]
struct News {
    at: Timestamp,
    order: Option<Told>,
}

/// An order, as far as customers are told of it.
#[derive(Deserialize)]
struct Told {
    number: u64,
    status: Status,
    customer: Option<Customer>,
    currency: String,
    products: Vec<Line>,
    total: String,
    reference: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    quantity: u32,
    total: String,
}

/// The body of a webhook, as the Standard Webhooks ask for.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: Timestamp,
    /// The frame, as subscribers of the feed get it.
    data: &'a RawValue,
}

impl NotificationRules for Rules {
    fn announce(&self, frame: &Frame) -> Result<Announcement, serde_json::Error> {
        let news: News = serde_json::from_str(frame.body.get())?;
        let mut requests = Vec::new();
        if let Some(order) = &news.order {
            requests.extend(self.mail(&frame.kind, order)?);
            requests.extend(self.sms(&frame.kind, order)?);
        }
        for webhook in &self.webhooks {
            if webhook.events.include(&frame.kind) {
                requests.push(webhook.request(frame, news.at)?);
            }
        }
        Ok(Announcement {
            at: news.at,
            requests,
        })
    }
}

impl Rules {
    fn mail(&self, kind: &str, order: &Told) -> Result<Option<Request>, serde_json::Error> {
        let to = order.customer.as_ref().and_then(|who| who.email.clone());
        let Some(to) = to.filter(|_| self.mail.include(kind)) else {
            return Ok(None);
        };
        let mail = Mail {
            subject: headline(kind, order),
            text: letter(kind, order),
        };
        Ok(Some(Request {
            lane: MAIL.into(),
            channel: "email",
            to,
            message: to_json(&mail)?,
        }))
    }

    fn sms(&self, kind: &str, order: &Told) -> Result<Option<Request>, serde_json::Error> {
        let to = order.customer.as_ref().and_then(|who| who.phone.clone());
        let Some(to) = to.filter(|_| self.sms.include(kind)) else {
            return Ok(None);
        };
        let text = format!("{}. Total: {}", headline(kind, order), order.price());
        Ok(Some(Request {
            lane: SMS.into(),
            channel: "sms",
            to,
            message: to_json(&ShortText { text })?,
        }))
    }
}

impl Webhook {
    fn request(&self, frame: &Frame, at: Timestamp) -> Result<Request, serde_json::Error> {
        let payload = Payload {
            r#type: &frame.kind,
            timestamp: at,
            data: &frame.body,
        };
        Ok(Request {
            lane: self.lane.clone(),
            channel: "webhook",
            to: self.host.clone(),
            message: to_json(&payload)?,
        })
    }
}

impl Told {
    fn price(&self) -> String {
        format!("{} {}", self.total, self.currency)
    }
}

/// What happened, in a line.
fn headline(kind: &str, order: &Told) -> String {
    let what = match (kind, order.status) {
        ("order.created", _) => "has been received",
        ("order.deleted" | "order.status", Status::Cancelled) => "has been cancelled",
        ("order.deleted", _) => "has been removed from the list of orders",
        ("order.status", Status::Paid) => "has been paid",
        ("order.status", Status::Shipped) => "is on its way",
        ("order.status", Status::Delivered) => "has been delivered",
        _ => "has been changed",
    };
    format!("Your order {} {what}", order.number)
}

/// The same with everything that a customer may want to check.
fn letter(kind: &str, order: &Told) -> String {
    let name = order.customer.as_ref().and_then(|who| who.name.as_deref());
    let greeting = name.map_or_else(|| "Hello,".to_owned(), |name| format!("Hello {name},"));
    let line = |line: &Line| format!("  {} x {}: {}\n", line.quantity, line.name, line.total);
    let lines: String = order.products.iter().map(line).collect();
    let reference = order.reference.as_deref();
    let reference = reference.map_or_else(String::new, |text| format!("Your reference: {text}\n"));
    format!(
        "{greeting}\n\n{}.\n\n{lines}\nTotal: {}\n{reference}",
        headline(kind, order),
        order.price()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn frame(kind: &str, status: &str, customer: &Value) -> Frame {
        let body = json!({
            "type": kind, "position": 7, "order_id": "o", "at": "2026-01-01T12:00:07.000Z",
            "order": {
                "id": "o", "number": 3, "status": status, "customer": customer, "currency": "EUR",
                "products": [{ "sku": null, "name": "Tea", "quantity": 2, "price": "3.50", "total": "7.00" }],
                "total": "7.00", "reference": "R-1",
            },
        });
        with_body(kind, &body)
    }

    fn with_body(kind: &str, body: &Value) -> Frame {
        Frame {
            position: 7,
            kind: kind.into(),
            entity_id: "o".into(),
            owner: None,
            group: None,
            left_group: None,
            body: to_json(body).expect("JSON"),
        }
    }

    fn events(kinds: &[&str]) -> Events {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Events::of(&kinds).expect("known kinds")
    }

    fn rules() -> Rules {
        Rules {
            mail: events(&["order.created", "order.status"]),
            sms: events(&["order.status"]),
            webhooks: vec![Webhook {
                lane: "webhook-1".into(),
                host: "shop.example".into(),
                events: events(&["*"]),
            }],
        }
    }

    fn requests(frame: &Frame) -> Vec<(String, String, Value)> {
        let announcement = rules().announce(frame).expect("a frame of ours");
        let shown = |request: Request| {
            let message = serde_json::from_str(request.message.get()).expect("JSON");
            (request.lane, request.to, message)
        };
        announcement.requests.into_iter().map(shown).collect()
    }

    #[test]
    fn customers_are_told_where_they_can_be_reached() {
        let ada =
            json!({ "id": "c", "name": "Ada", "email": "ada@example.org", "phone": "+4930123456" });
        let told = requests(&frame("order.status", "shipped", &ada));
        let lanes: Vec<&str> = told.iter().map(|(lane, ..)| lane.as_str()).collect();
        assert_eq!(lanes, ["email", "sms", "webhook-1"]);
        assert_eq!(told[0].1, "ada@example.org");
        assert_eq!(told[0].2["subject"], "Your order 3 is on its way");
        assert_eq!(
            told[0].2["text"],
            "Hello Ada,\n\nYour order 3 is on its way.\n\n  2 x Tea: 7.00\n\nTotal: 7.00 EUR\n\
             Your reference: R-1\n"
        );
        assert_eq!(told[1].1, "+4930123456");
        assert_eq!(
            told[1].2["text"],
            "Your order 3 is on its way. Total: 7.00 EUR"
        );
        let unreachable = json!({ "id": "c", "name": null, "email": null });
        for customer in [Value::Null, unreachable] {
            assert_eq!(
                requests(&frame("order.created", "placed", &customer)).len(),
                1
            );
        }
    }

    #[test]
    fn a_deleted_order_that_has_arrived_is_not_called_cancelled() {
        let rules = Rules {
            mail: events(&["order.deleted"]),
            ..Rules::default()
        };
        let ada = json!({ "id": "c", "name": null, "email": "ada@example.org" });
        for (status, expected) in [
            ("cancelled", "Your order 3 has been cancelled"),
            (
                "delivered",
                "Your order 3 has been removed from the list of orders",
            ),
        ] {
            let told = rules.announce(&frame("order.deleted", status, &ada));
            let message = &told.expect("a frame of ours").requests[0].message;
            let mail: Value = serde_json::from_str(message.get()).expect("JSON");
            assert_eq!(mail["subject"], expected);
        }
    }

    #[test]
    fn only_of_what_was_chosen() {
        let ada =
            json!({ "id": "c", "name": null, "email": "ada@example.org", "phone": "+4930123456" });
        let lanes = |kind| -> Vec<String> {
            let told = requests(&frame(kind, "placed", &ada)).into_iter();
            told.map(|(lane, ..)| lane).collect()
        };
        assert_eq!(lanes("order.created"), ["email", "webhook-1"]);
        assert_eq!(lanes("order.updated"), ["webhook-1"]);
        let error = Events::of(&["order.paid".to_owned()]).expect_err("no kind");
        assert!(error.to_string().contains("order.status"), "{error}");
    }

    #[test]
    fn webhooks_get_the_frame_and_hear_of_rejections() {
        let body = json!({
            "type": "order.rejected", "position": 7, "order_id": "o",
            "at": "2026-01-01T12:00:07.000Z", "reason": "no",
        });
        let told = requests(&with_body("order.rejected", &body));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1, "shop.example");
        assert_eq!(told[0].2["type"], "order.rejected");
        assert_eq!(told[0].2["timestamp"], "2026-01-01T12:00:07.000Z");
        assert_eq!(told[0].2["data"], body);
    }

    #[test]
    fn what_is_no_frame_of_ours_is_an_error() {
        assert!(
            rules()
                .announce(&with_body("order.created", &json!({})))
                .is_err()
        );
    }
}
