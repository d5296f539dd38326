//! The tutorial `docs/your-own-domain.md`: its code is the code of the example, which behaves as
//! described.

use std::path::Path;
use std::time::Duration;

use bakehouse_e2e::{Kind, World, in_both_worlds};
use serde_json::json;

in_both_worlds!(
    the_example_behaves_as_described,
    a_store_of_another_domain_is_refused,
);

const TUTORIAL: &str = include_str!("../../../docs/your-own-domain.md");

/// Checks that each block of code equals the file named before it.
#[test]
fn code_blocks_equal_the_files_they_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut shown = 0;
    let mut file = None;
    let mut blocks = TUTORIAL.split("```");
    while let (Some(prose), block) = (blocks.next(), blocks.next()) {
        let is_file = |word: &&str| word.starts_with("examples/") && word.contains('.');
        let named = prose.split('`').rfind(is_file);
        file = named.map(str::to_owned).or(file);
        let Some((language, code)) = block.and_then(|block| block.split_once('\n')) else {
            break;
        };
        if ["rust", "toml"].contains(&language) {
            let name = file.take().expect("a file's name before its code");
            let content = std::fs::read_to_string(root.join(&name)).expect("a file");
            assert_eq!(code.trim_end(), content.trim_end(), "{name}");
            shown += 1;
        }
    }
    assert_eq!(shown, 4);
}

async fn the_example_behaves_as_described(kind: Kind) {
    let world = World::start_domain(kind, &["todo"], "/todo-events")
        .await
        .expect("it starts");
    let client = world.client();
    let added = client.post_to("/todos", r#"{"title": "Bake"}"#).await;
    let added = added.expect("an answer");
    assert_eq!((added.status.as_u16(), added.body.len()), (202, 0));
    let location = added.header("location").to_owned();
    let done = format!("{location}/done");
    let first = client.put(&done, &[], "").await.expect("an answer");
    let second = client.put(&done, &[], "").await.expect("an answer");
    assert_eq!(
        client.settled(&first).await.expect("an answer")["status"],
        "baked"
    );
    let receipt = client.settled(&second).await.expect("an answer");
    assert_eq!(receipt["status"], "rejected");
    assert_eq!(receipt["reason"], "the todo is done already");
    let mut feed = world.feed("since=0").await.expect("an answer");
    let frames = feed.events_up_to(3).await.expect("an answer");
    let kinds: Vec<_> = frames.iter().map(|frame| &frame["type"]).collect();
    assert_eq!(kinds, ["todo.added", "todo.finished", "todo.rejected"]);
    let document = client.get(&location).await.expect("an answer").json();
    assert_eq!(document["title"], "Bake");
    assert_eq!(document["done"], json!(true));
    let faulty = client.post_to("/todos", r#"{"titel": "Bake"}"#).await;
    assert_eq!(faulty.expect("an answer").status, 400);
}

/// Checks that a program refuses to start on the store of another domain.
async fn a_store_of_another_domain_is_refused(kind: Kind) {
    let mut world = World::start_domain(kind, &["todo"], "/todo-events")
        .await
        .expect("it starts");
    let client = world.client();
    let added = client.post_to("/todos", r#"{"title": "Bake"}"#).await;
    client
        .settled(&added.expect("accepted"))
        .await
        .expect("baked");
    world.stop_all().expect("an orderly end");
    let stranger = world.run_another("calculator", Duration::from_secs(30));
    let (code, log) = stranger.expect("it ends by itself");
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("another domain"), "{log}");
}
