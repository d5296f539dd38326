//! Posts: what users have to say.

mod domain;
mod view;

use std::process::ExitCode;

use bakehouse_host::Kitchen;
use bakehouse_host::http::Menu;

use crate::content::routes;
use domain::Posts;
use view::PostView;

/// The whole service.
pub fn main() -> ExitCode {
    let location = |id: &str| format!("/posts/{id}");
    let menu = Menu::of::<Posts>("/posts-events", location, routes::<Posts>);
    Kitchen::<Posts>::new("posts", "The posts of a blog")
        .read_model::<PostView>()
        .serve(menu)
}
