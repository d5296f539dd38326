//! Service of posts.

mod domain;
mod view;

use std::process::ExitCode;

use bakehouse_host::App;
use bakehouse_host::http::ApiDefinition;

use crate::content::routes;
use domain::Posts;
use view::PostView;

/// Runs the service.
pub fn main() -> ExitCode {
    let location = |id: &str| format!("/posts/{id}");
    let api = ApiDefinition::of::<Posts>("/posts-events", location, routes::<Posts, PostView>);
    App::<Posts>::new("posts", "The posts of a blog")
        .read_model::<PostView>()
        .serve(api)
}
