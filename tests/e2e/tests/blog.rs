//! Example blog: three services that communicate only by events, each with stores of its own.

use std::time::Duration;

use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Answer, Client, Kind, World, in_both_worlds};
use serde_json::{Value, json};

in_both_worlds!(
    names_and_counts_reach_all_services,
    late_events_complete_earlier_ones,
    user_names_and_titles_are_unique,
);

const LIMIT: Duration = Duration::from_secs(30);
const WAIT: (&str, &str) = ("Prefer", "wait=20");

struct Blog {
    users: World,
    posts: World,
    comments: World,
}

impl Blog {
    async fn start(kind: Kind) -> Self {
        let prepare = |program: &'static [&'static str], feed| {
            World::prepare_domain(kind, program, feed).expect("prepared")
        };
        let mut users = prepare(&["users"], "/users-events");
        let mut posts = prepare(&["posts"], "/posts-events");
        let mut comments = prepare(&["comments"], "/comments-events");
        let feed = |world: &World, name: &str| format!("{}/{name}-events", world.base);
        posts.set("BAKEHOUSE_FOLLOW__USER", &feed(&users, "users"));
        posts.set("BAKEHOUSE_FOLLOW__COMMENT", &feed(&comments, "comments"));
        comments.set("BAKEHOUSE_FOLLOW__USER", &feed(&users, "users"));
        comments.set("BAKEHOUSE_FOLLOW__POST", &feed(&posts, "posts"));
        for world in [&mut posts, &mut users, &mut comments] {
            world.begin().await.expect("it starts");
        }
        Self {
            users,
            posts,
            comments,
        }
    }
}

async fn create(world: &World, path: &str, body: Value) -> String {
    let answer = client(world)
        .post_with(path, &[WAIT], body.to_string())
        .await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

fn client(world: &World) -> Client {
    world.client()
}

async fn update(world: &World, path: &str, body: Value) {
    let answer = client(world).put(path, &[WAIT], body.to_string()).await;
    assert_eq!(answer.expect("an answer").status, 200);
}

async fn delete(world: &World, path: &str) -> Answer {
    let headers = [WAIT];
    let method = "DELETE".parse().expect("a method");
    client(world)
        .send(method, path, &headers, "")
        .await
        .expect("an answer")
}

/// Waits until the resource at a path equals the expected value.
async fn becomes(world: &World, path: &str, expected: Value) {
    let seen = || async { client(world).get(path).await.map(|answer| answer.json()) };
    let is_so = wait(LIMIT, path, async || {
        seen().await.is_ok_and(|found| found == expected)
    });
    if is_so.await.is_err() {
        panic!(
            "{path}: {:?}, not {expected}\n{}",
            seen().await,
            world.logs()
        );
    }
}

async fn is_gone(world: &World, path: &str) {
    wait(LIMIT, path, async || {
        let answer = client(world).get(path).await;
        answer.is_ok_and(|answer| answer.status == 404)
    })
    .await
    .expect("gone");
}

fn post(id: &str, author_id: &str, name: Option<&str>, comments: u64) -> Value {
    json!({ "id": id, "title": "Hello", "text": "World", "author_id": author_id,
        "author_name": name, "comments": comments })
}

async fn names_and_counts_reach_all_services(kind: Kind) {
    let mut blog = Blog::start(kind).await;
    let ada = json!({ "username": "ada", "full_name": "Ada Byron" });
    let ada = create(&blog.users, "/users", ada).await;
    let hello = json!({ "title": "Hello", "text": "World", "author_id": ada });
    let hello = create(&blog.posts, "/posts", hello).await;
    let mut comments = Vec::new();
    for text in ["one", "two", "three"] {
        let body = json!({ "post_id": hello, "author_id": ada, "text": text });
        comments.push(create(&blog.comments, "/comments", body).await);
    }
    let at = format!("/posts/{hello}");
    becomes(&blog.posts, &at, post(&hello, &ada, Some("Ada Byron"), 3)).await;
    // The name changes while both services that use it are down.
    blog.posts.process("posts").kill();
    blog.comments.process("comments").kill();
    update(
        &blog.users,
        &format!("/users/{ada}"),
        json!({ "full_name": "Ada Lovelace" }),
    )
    .await;
    blog.posts.begin().await.expect("it is back");
    blog.comments.begin().await.expect("it is back");
    becomes(
        &blog.posts,
        &at,
        post(&hello, &ada, Some("Ada Lovelace"), 3),
    )
    .await;
    let comment = |index: usize, text: &str| {
        json!({ "id": comments[index], "post_id": hello, "text": text, "author_id": ada,
            "author_full_name": "Ada Lovelace" })
    };
    for (index, text) in ["one", "two", "three"].iter().enumerate() {
        let at = format!("/comments/{}", comments[index]);
        becomes(&blog.comments, &at, comment(index, text)).await;
    }
    let first = format!("/comments/{}", comments[0]);
    update(&blog.comments, &first, json!({ "text": "won" })).await;
    becomes(&blog.comments, &first, comment(0, "won")).await;
    assert_eq!(delete(&blog.comments, &first).await.status, 200);
    is_gone(&blog.comments, &first).await;
    becomes(
        &blog.posts,
        &at,
        post(&hello, &ada, Some("Ada Lovelace"), 2),
    )
    .await;
    // Deleting a user removes its name, and deleting a post its comments.
    assert_eq!(
        delete(&blog.users, &format!("/users/{ada}")).await.status,
        200
    );
    becomes(&blog.posts, &at, post(&hello, &ada, None, 2)).await;
    assert_eq!(delete(&blog.posts, &at).await.status, 200);
    is_gone(&blog.posts, &at).await;
    becomes(&blog.comments, "/comments", json!([])).await;
    becomes(&blog.posts, "/posts", json!([])).await;
    becomes(&blog.users, "/users", json!([])).await;
}

/// Checks that events of the three services may arrive in any order.
async fn late_events_complete_earlier_ones(kind: Kind) {
    let blog = Blog::start(kind).await;
    // Ids are derived from names and titles: another blog returns the same ones in advance.
    let ada = json!({ "username": "ada", "full_name": "Ada" });
    let other_blog = Blog::start(Kind::Embedded).await;
    let ada_id = create(&other_blog.users, "/users", ada.clone()).await;
    let hello = json!({ "title": "Hello", "text": "World", "author_id": ada_id });
    let hello_id = create(&other_blog.posts, "/posts", hello.clone()).await;
    let body = json!({ "post_id": hello_id, "author_id": ada_id, "text": "first" });
    let comment = create(&blog.comments, "/comments", body).await;
    let comment_at = format!("/comments/{comment}");
    let expected = |name: Option<&str>| {
        json!({ "id": comment, "post_id": hello_id, "text": "first", "author_id": ada_id,
            "author_full_name": name })
    };
    becomes(&blog.comments, &comment_at, expected(None)).await;
    let hello_id = create(&blog.posts, "/posts", hello).await;
    let at = format!("/posts/{hello_id}");
    becomes(&blog.posts, &at, post(&hello_id, &ada_id, None, 1)).await;
    create(&blog.users, "/users", ada).await;
    becomes(&blog.posts, &at, post(&hello_id, &ada_id, Some("Ada"), 1)).await;
    becomes(&blog.comments, &comment_at, expected(Some("Ada"))).await;
    // Comments on a deleted post are deleted as well.
    assert_eq!(delete(&blog.posts, &at).await.status, 200);
    is_gone(&blog.comments, &comment_at).await;
    let body = json!({ "post_id": hello_id, "author_id": ada_id, "text": "late" });
    let late = create(&blog.comments, "/comments", body).await;
    is_gone(&blog.comments, &format!("/comments/{late}")).await;
}

async fn user_names_and_titles_are_unique(kind: Kind) {
    let blog = Blog::start(kind).await;
    let ada = |full_name: &str| json!({ "username": "ada", "full_name": full_name }).to_string();
    let users = client(&blog.users);
    let create = async |name| users.post_with("/users", &[WAIT], ada(name)).await;
    // One of several concurrent requests succeeds.
    let names = ["a", "b", "c", "d", "e"];
    let answers = futures_util::future::join_all(names.map(create)).await;
    let answers = answers.into_iter().map(|answer| answer.expect("an answer"));
    let (created, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status == 201);
    assert_eq!((created.len(), refused.len()), (1, 4));
    assert_eq!(refused[0].status, 409);
    assert_eq!(refused[0].json()["detail"], "this user name is taken");
    assert_eq!(refused[0].json()["code"], "taken");
    let id = created[0].json()["id"].as_str().expect("an id").to_owned();
    let body = json!({ "title": "Hello", "text": "1", "author_id": id }).to_string();
    let posts = client(&blog.posts);
    let first = posts
        .post_with("/posts", &[WAIT], body.clone())
        .await
        .expect("an answer");
    let other_case = body.replace("Hello", "HELLO");
    let second = posts
        .post_with("/posts", &[WAIT], other_case)
        .await
        .expect("an answer");
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 409));
    assert_eq!(
        second.json()["detail"],
        "a post with this title exists already"
    );
    // The receipt shows the reason to clients that do not wait.
    let third = posts
        .post_to("/posts", body.clone())
        .await
        .expect("an answer");
    let receipt = posts.settled(&third).await.expect("a receipt");
    assert_eq!(receipt["status"], "rejected");
    let at = format!("/posts/{}", first.json()["id"].as_str().expect("an id"));
    assert_eq!(delete(&blog.posts, &at).await.status, 200);
    let again = posts
        .post_with("/posts", &[WAIT], body)
        .await
        .expect("an answer");
    assert_eq!(again.status, 201, "{again:?}");
    let wrong = json!({ "title": "", "text": "x", "author_id": "ada" }).to_string();
    let wrong = posts.post_to("/posts", wrong).await.expect("an answer");
    assert_eq!(wrong.status, 400);
    assert_eq!(wrong.json()["errors"][1]["pointer"], "/author_id");
}
