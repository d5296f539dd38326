//! Service of users, the authors of posts and comments.

mod domain;
mod view;

use std::process::ExitCode;

use bakehouse_host::App;
use bakehouse_host::http::ApiDefinition;

use crate::content::routes;
use domain::Users;
use view::UserView;

/// Runs the service.
pub fn main() -> ExitCode {
    let location = |id: &str| format!("/users/{id}");
    let api = ApiDefinition::of::<Users>("/users-events", location, routes::<Users, UserView>);
    App::<Users>::new("users", "The users of a blog")
        .read_model::<UserView>()
        .serve(api)
}
