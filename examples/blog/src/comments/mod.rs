//! Service of comments on posts.

mod cleanup;
mod domain;
mod view;

use std::process::ExitCode;

use bakehouse_host::App;
use bakehouse_host::http::ApiDefinition;

use crate::content::routes;
use cleanup::Cleanup;
use domain::Comments;
use view::CommentView;

/// Runs the service.
pub fn main() -> ExitCode {
    let location = |id: &str| format!("/comments/{id}");
    let api = ApiDefinition::of::<Comments>(
        "/comments-events",
        location,
        routes::<Comments, CommentView>,
    );
    App::<Comments>::new("comments", "The comments of a blog")
        .read_model::<CommentView>()
        .process::<Cleanup>()
        .serve(api)
}
