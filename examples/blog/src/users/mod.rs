//! Users: who writes posts and comments.

mod domain;
mod view;

use std::process::ExitCode;

use bakehouse_host::Kitchen;
use bakehouse_host::http::Menu;

use crate::content::routes;
use domain::Users;
use view::UserView;

/// The whole service.
pub fn main() -> ExitCode {
    let location = |id: &str| format!("/users/{id}");
    let menu = Menu::of::<Users>("/users-events", location, routes::<Users>);
    Kitchen::<Users>::new("users", "The users of a blog")
        .read_model::<UserView>()
        .serve(menu)
}
