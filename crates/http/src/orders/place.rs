//! `POST /order`: 202 once the order is durable.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_orders::intake::{self, Faults};

use super::accept::{Identity, accept};
use super::body::read_json;
use crate::problem::{InputFault, Problem};
use crate::server::{Doors, Settings};

pub(super) async fn place(
    request: HttpRequest,
    payload: web::Payload,
    doors: web::Data<Doors>,
    settings: web::Data<Settings>,
) -> Result<HttpResponse, Problem> {
    let identity = Identity::of(&request)?;
    let body = read_json(&request, payload, settings.body_limit).await?;
    let command = intake::place(&body, &settings.defaults)?;
    accept(&doors, &identity, &command).await
}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        match faults {
            Faults::Syntax(detail) => Self::syntax(detail),
            Faults::Content(faults) => {
                let faults = faults.into_iter().map(|fault| InputFault {
                    pointer: fault.pointer,
                    detail: fault.detail,
                });
                Self::invalid(faults.collect())
            }
        }
    }
}
