//! What the accounts promise, in both forms.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use throng_core::limits::SESSIONS_LISTED_MAX;

use super::*;
use crate::address::AddressKey;
use crate::auth::token::Token;

fn name(text: &str) -> Username {
    Username::parse(text).unwrap()
}

fn phc(text: &str) -> Phc {
    Phc::stored(text.to_owned())
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<SessionId>>);

impl Watch for Heard {
    fn session_ended(&self, session: SessionId) {
        self.0.lock().unwrap().push(session);
    }

    fn sync_failed(&self, error: &AccountsError) {
        panic!("{error}");
    }
}

/// Runs a claim on a folder and in memory.
fn in_both_forms(claim: &impl AsyncFn(&Accounts, Limits)) {
    let limits = Limits { sessions_per_user_max: 3, users_max: 3, ..Limits::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for form in [Form::Folder(folder.path().into()), Form::Memory] {
        let accounts = Accounts::open(form, &limits, Clock::manual()).unwrap();
        runtime.block_on(claim(&accounts, limits.clone()));
    }
}

async fn register(accounts: &Accounts, who: &str) -> (Authenticated, Token) {
    let token = Token::generate().unwrap();
    let made = accounts.register(name(who), phc("p"), token.hash(), None).await.unwrap();
    (made, token)
}

#[test]
fn a_registered_account_is_found_in_any_case_and_its_token_is_its_session() {
    in_both_forms(&async |accounts, _| {
        let (made, token) = register(accounts, "Anna").await;
        let found = accounts.find(&name("aNNA")).await.unwrap().unwrap();
        assert_eq!(found.user, made.user);
        assert_eq!(found.user.name.as_str(), "Anna");
        assert_eq!(found.phc, Some(phc("p")));
        for _ in 0..2 {
            assert_eq!(accounts.authenticate(token.hash()).await.unwrap(), made);
            assert_eq!(accounts.authenticate_often(token.hash()).await.unwrap(), made);
        }
        assert!(accounts.find(&name("nobody")).await.unwrap().is_none());
    });
}

#[test]
fn a_name_is_taken_once_whatever_its_case_and_a_full_server_takes_none() {
    in_both_forms(&async |accounts, limits| {
        register(accounts, "anna").await;
        let again =
            accounts.register(name("ANNA"), phc("p"), Token::generate().unwrap().hash(), None);
        assert_eq!(again.await, Err(Rejection::UsernameTaken));
        for number in 2..=limits.users_max {
            register(accounts, &format!("user{number}")).await;
        }
        let full =
            accounts.register(name("late"), phc("p"), Token::generate().unwrap().hash(), None);
        assert_eq!(full.await, Err(Rejection::LimitReached));
    });
}

#[test]
fn an_ended_session_is_refused_at_once_and_those_who_watch_hear_of_it_first() {
    in_both_forms(&async |accounts, _| {
        let heard = Arc::new(Heard::default());
        accounts.watch(Arc::clone(&heard) as Arc<dyn Watch>);
        let (made, token) = register(accounts, "anna").await;
        let before = accounts.endings();
        assert!(accounts.authenticate_often(token.hash()).await.is_ok());
        accounts.end_session(made.session).await.unwrap();
        assert_eq!(*heard.0.lock().unwrap(), [made.session]);
        assert_eq!(accounts.authenticate(token.hash()).await, Err(Rejection::BadToken));
        assert_eq!(accounts.authenticate_often(token.hash()).await, Err(Rejection::BadToken));
        assert_eq!(accounts.endings(), before + 1);
        accounts.end_session(made.session).await.unwrap();
        assert_eq!(heard.0.lock().unwrap().len(), 1);
    });
}

#[test]
fn the_session_used_longest_ago_makes_place_for_a_new_one() {
    in_both_forms(&async |accounts, limits| {
        let (first, first_token) = register(accounts, "anna").await;
        let mut tokens = vec![first_token];
        for _ in 0..limits.sessions_per_user_max {
            accounts.clock.advance(Duration::from_secs(1));
            let token = Token::generate().unwrap();
            accounts.begin_session(first.user.clone(), token.hash()).await.unwrap();
            tokens.push(token);
        }
        let mut alive = Vec::new();
        for token in &tokens {
            alive.push(accounts.authenticate(token.hash()).await.is_ok());
        }
        assert_eq!(alive, [false, true, true, true]);
    });
}

#[test]
fn a_list_has_so_many_sessions_those_used_last_and_no_more() {
    let limits = Limits { sessions_per_user_max: 1_000, ..Limits::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let accounts = Accounts::open(Form::Memory, &limits, Clock::manual()).unwrap();
    runtime.block_on(async {
        let (first, _) = register(&accounts, "anna").await;
        for count in 1..=SESSIONS_LISTED_MAX + 1 {
            let listed = accounts.sessions_of(first.user.id).await.unwrap();
            assert_eq!(listed.len(), count.min(SESSIONS_LISTED_MAX));
            let oldest = listed.iter().any(|session| session.session == first.session);
            assert_eq!(oldest, count <= SESSIONS_LISTED_MAX, "{count}");
            accounts.clock.advance(Duration::from_hours(2));
            let token = Token::generate().unwrap();
            accounts.begin_session(first.user.clone(), token.hash()).await.unwrap();
        }
    });
}

#[test]
fn what_was_answered_is_there_after_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let open = || {
        let form = Form::Folder(folder.path().into());
        Accounts::open(form, &Limits::default(), Clock::manual()).unwrap()
    };
    let (made, token) = runtime.block_on(register(&open(), "anna"));
    let again = open();
    assert_eq!(runtime.block_on(again.authenticate(token.hash())), Ok(made));
}

#[test]
fn a_hash_is_renewed_only_in_place_of_the_one_that_was_tried() {
    in_both_forms(&async |accounts, _| {
        let (made, _) = register(accounts, "anna").await;
        let id = made.user.id;
        accounts.renew(id, phc("other"), phc("q")).await.unwrap();
        assert_eq!(accounts.find(&name("anna")).await.unwrap().unwrap().phc, Some(phc("p")));
        accounts.renew(id, phc("p"), phc("q")).await.unwrap();
        assert_eq!(accounts.find(&name("anna")).await.unwrap().unwrap().phc, Some(phc("q")));
    });
}

#[test]
fn what_waits_together_is_answered_together_and_each_by_its_own_outcome() {
    in_both_forms(&async |accounts, _| {
        let (a, b, c) = (Token::generate(), Token::generate(), Token::generate());
        let (a, b, c) = (a.unwrap().hash(), b.unwrap().hash(), c.unwrap().hash());
        let (first, second, third) = tokio::join!(
            accounts.register(name("anna"), phc("p"), a, None),
            accounts.register(name("anna"), phc("p"), b, None),
            accounts.register(name("bert"), phc("p"), c, None),
        );
        assert!(first.is_ok() && third.is_ok());
        assert_eq!(second, Err(Rejection::UsernameTaken));
    });
}

#[test]
fn an_invitation_is_used_up_by_accounts_that_were_made_and_by_nothing_else() {
    in_both_forms(&async |accounts, _| {
        let token = || Token::generate().unwrap().hash();
        let administrator = token();
        assert_eq!(accounts.offer_administrator(administrator, 1_000).await, Ok(true));
        let link = Some((administrator, LinkKind::Administrator));
        let admin = accounts.register(name("admin"), phc("p"), token(), link).await.unwrap();
        let invitation = token();
        assert!(accounts.invite(admin.user.id, invitation, 2, 1_000).await.is_ok());
        let link = Some((invitation, LinkKind::Invitation));
        let sign_up = |who| accounts.register(name(who), phc("p"), token(), link);
        // Two want one name at the same moment; one gets it.
        let (first, second) = tokio::join!(sign_up("anna"), sign_up("anna"));
        assert!(first.is_ok() && second == Err(Rejection::UsernameTaken));
        assert!(sign_up("bert").await.is_ok());
        assert_eq!(sign_up("carl").await, Err(Rejection::BadLink));
        assert_eq!(accounts.link(invitation).await, Err(Rejection::BadLink));
    });
}

#[test]
fn accounts_made_beside_a_running_server_are_known_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let limits = Limits::default();
    let accounts =
        Accounts::open(Form::Folder(folder.path().into()), &limits, Clock::manual()).unwrap();
    // A person has one of the names already.
    runtime.block_on(register(&accounts, "u2"));
    let mut tokens = Vec::new();
    let wanted = bulk::Wanted {
        prefix: "u",
        count: 5,
        at: Timestamp(1),
        users_max: 100,
        keys: bulk::Keys::Token,
    };
    let made = bulk::create(folder.path(), &wanted, Token::generate, |author, token, password| {
        assert_eq!(password, None);
        tokens.push((author.clone(), token.clone()));
        Ok(())
    });
    assert_eq!(made.unwrap(), 5);
    let names: Vec<_> = tokens.iter().map(|(author, _)| author.name.as_str()).collect();
    assert_eq!(names, ["u1", "u3", "u4", "u5", "u6"]);
    for (author, token) in &tokens {
        let known = runtime.block_on(accounts.authenticate(token.hash())).unwrap();
        assert_eq!(known.user, *author);
    }
    let found = runtime.block_on(accounts.find(&name("u1"))).unwrap().unwrap();
    assert!(found.phc.is_none());
}

#[test]
fn a_file_that_is_none_of_ours_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, vec![7; 8192]).unwrap();
    let open =
        || Accounts::open(Form::Folder(folder.path().into()), &Limits::default(), Clock::manual());
    let error = open().unwrap_err();
    assert!(matches!(error, AccountsError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains(FILE), "{error}");
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(open().unwrap_err(), AccountsError::TooNew { version: 99, .. }));
}

#[test]
fn accounts_of_version_1_are_brought_up_to_date_and_keep_their_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::generate().unwrap();
    let old = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
    old.execute_batch(tables::SCHEMA).unwrap();
    old.execute(
        "INSERT INTO users (name, folded, phc, created_at) VALUES ('Anna', 'anna', 'p', 1)",
        [],
    )
    .unwrap();
    let session = "INSERT INTO sessions (user, token, created_at, last_used) VALUES (1, ?1, 1, 1)";
    old.execute(session, [token.hash().0.as_slice()]).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..2 {
        let form = Form::Folder(folder.path().into());
        let accounts = Accounts::open(form, &Limits::default(), Clock::manual()).unwrap();
        let known = runtime.block_on(accounts.authenticate(token.hash())).unwrap();
        assert_eq!(known.user.name.as_str(), "Anna");
        let link = Token::generate().unwrap().hash();
        assert_eq!(runtime.block_on(accounts.offer_administrator(link, 1_000)), Ok(true));
        assert_eq!(runtime.block_on(accounts.link(link)), Ok(LinkKind::Administrator));
    }
}

#[test]
fn what_cannot_be_written_is_unavailable_was_not_done_and_can_be_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let form = Form::Folder(folder.path().into());
    let accounts = Accounts::open(form, &Limits::default(), Clock::manual()).unwrap();
    let (made, token) = runtime.block_on(register(&accounts, "anna"));
    // Another process breaks the second half of a sign-up, and mends it.
    let other = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
    let broken = "CREATE TRIGGER broken BEFORE INSERT ON sessions
                  BEGIN SELECT RAISE(ABORT, 'broken'); END";
    other.execute_batch(broken).unwrap();
    let refused =
        accounts.register(name("bert"), phc("p"), Token::generate().unwrap().hash(), None);
    assert_eq!(runtime.block_on(refused), Err(Rejection::Unavailable));
    assert!(runtime.block_on(accounts.find(&name("bert"))).unwrap().is_none());
    assert_eq!(runtime.block_on(accounts.authenticate(token.hash())), Ok(made));
    other.execute_batch("DROP TRIGGER broken").unwrap();
    runtime.block_on(register(&accounts, "bert"));
}

#[test]
fn sessions_that_another_process_ended_are_told_to_the_watch_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let form = Form::Folder(folder.path().into());
    let accounts = Accounts::open(form, &Limits::default(), Clock::manual()).unwrap();
    let heard = Arc::new(Heard::default());
    accounts.watch(heard.clone());
    let (anna, _) = runtime.block_on(register(&accounts, "anna"));
    let (bert, _) = runtime.block_on(register(&accounts, "bert"));
    // More than one job's worth, as they come: what is not ours is as good as ended.
    let live = || (0..RECHECK_MAX as u64).map(SessionId).chain([anna.session, bert.session]);
    let look = |asked: &mut bool| {
        let endings = accounts.endings();
        runtime.block_on(accounts.look_outside(|| {
            *asked = true;
            assert!(accounts.endings() > endings, "those who come meanwhile ask again");
            live().collect()
        }))
    };
    let mut asked = false;
    look(&mut asked).unwrap();
    heard.0.lock().unwrap().clear();
    asked = false;
    runtime.block_on(register(&accounts, "carl"));
    look(&mut asked).unwrap();
    assert!(!asked, "what this server wrote is nothing to look at");
    assert_eq!(bulk::end_sessions(folder.path(), "ANNA", Timestamp(1)).unwrap(), Some(1));
    assert_eq!(bulk::end_sessions(folder.path(), "nobody", Timestamp(1)).unwrap(), None);
    look(&mut asked).unwrap();
    let told = std::mem::take(&mut *heard.0.lock().unwrap());
    assert!(asked && told.contains(&anna.session) && !told.contains(&bert.session));
    asked = false;
    look(&mut asked).unwrap();
    assert!(!asked, "looked at once");
}

#[test]
fn a_guest_that_another_process_ends_is_told_to_the_watch_and_is_to_leave_its_rooms() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let form = Form::Folder(folder.path().into());
    let accounts = Accounts::open(form, &Limits::default(), Clock::manual()).unwrap();
    let heard = Arc::new(Heard::default());
    accounts.watch(heard.clone());
    let enter = |who: &str| {
        let token = Token::generate().unwrap();
        let newcomer = guests::Newcomer {
            names: vec![name(who)],
            token: token.hash(),
            address: AddressKey::from(IpAddr::from([127, 0, 0, 1])),
            lasts_ms: 3_600_000,
            guests_max: 10,
        };
        (runtime.block_on(accounts.enter(newcomer)).unwrap(), token)
    };
    let ((gus, token), (ada, _)) = (enter("Gus"), enter("ada"));
    let end = |who: &str| bulk::end_sessions(folder.path(), who, accounts.clock.wall()).unwrap();
    assert_eq!((end("gUS"), end("gus"), end("nobody")), (Some(1), Some(0), None));
    let live = || vec![gus.session, ada.session];
    runtime.block_on(accounts.look_outside(live)).unwrap();
    assert_eq!(*heard.0.lock().unwrap(), [gus.session]);
    assert_eq!(runtime.block_on(accounts.authenticate(token.hash())), Err(Rejection::BadToken));
    assert_eq!(runtime.block_on(accounts.guests_going()), Ok(vec![gus.user.clone()]));
    runtime.block_on(accounts.guest_is_gone(gus.user.id)).unwrap();
    assert_eq!(end("gus"), None, "one that is gone is nobody");
}

#[test]
fn administrators_are_made_and_unmade_beside_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let form = Form::Folder(folder.path().into());
    let accounts = Accounts::open(form, &Limits::default(), Clock::manual()).unwrap();
    let (anna, _) = runtime.block_on(register(&accounts, "anna"));
    let (bert, _) = runtime.block_on(register(&accounts, "bert"));
    let first = Token::generate().unwrap().hash();
    assert_eq!(runtime.block_on(accounts.offer_administrator(first, 1_000)), Ok(true));
    let set = |who, is| bulk::set_administrator(folder.path(), who, is).unwrap();
    let is = |who: UserId| runtime.block_on(accounts.is_administrator(who)).unwrap();
    let ranked = |already, administrators, invitations_ended| {
        Some(bulk::Ranked { already, administrators, invitations_ended })
    };
    assert_eq!((set("nobody", true), set("no name!", true)), (None, None));
    assert_eq!(set("bert", false), ranked(true, 0, 0));
    assert_eq!(set("ANNA", true), ranked(false, 1, 0));
    assert_eq!(set("anna", true), ranked(true, 1, 0));
    assert!(is(anna.user.id) && !is(bert.user.id));
    let link = runtime.block_on(accounts.link(first));
    assert_eq!(link, Err(Rejection::BadLink), "there is a first one");
    assert_eq!(set("bert", true), ranked(false, 2, 0));
    let invite = |by: UserId| {
        let token = Token::generate().unwrap().hash();
        runtime.block_on(accounts.invite(by, token, 1, 1_000)).map(|_| token)
    };
    let (of_anna, of_bert) = (invite(anna.user.id).unwrap(), invite(bert.user.id).unwrap());
    assert_eq!(set("anna", false), ranked(false, 1, 1));
    assert_eq!(invite(anna.user.id), Err(Rejection::Forbidden));
    assert_eq!(runtime.block_on(accounts.link(of_anna)), Err(Rejection::BadLink));
    assert_eq!(runtime.block_on(accounts.link(of_bert)), Ok(LinkKind::Invitation));
    assert_eq!(set("bert", false), ranked(false, 0, 1));
    assert_eq!(runtime.block_on(accounts.offer_administrator(first, 1_000)), Ok(true));
}

/// Counted by another connection, which sees each commit as another version of the data.
#[test]
fn sign_ups_that_wait_together_are_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let form = Form::Folder(folder.path().into());
    let accounts = Accounts::open(form, &Limits::default(), Clock::manual()).unwrap();
    // The first write waits for this lock; all that come meanwhile wait behind it.
    let lock = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let frames = || std::fs::metadata(folder.path().join("accounts.db-wal")).unwrap().len();
    let storm = async {
        let mut all = Vec::new();
        for number in 0..100 {
            let token = Token::generate().unwrap().hash();
            all.push(accounts.register(name(&format!("user{number}")), phc("p"), token, None));
        }
        let mut waiting: Vec<_> = all.into_iter().map(Box::pin).collect();
        let mut lock = Some(lock);
        std::future::poll_fn(|context| {
            waiting.retain_mut(|one| one.as_mut().poll(context).is_pending());
            // Every one has been sent; now they may be written.
            if let Some(lock) = lock.take() {
                lock.execute_batch("COMMIT").unwrap();
            }
            if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    };
    let before = frames();
    runtime.block_on(storm);
    // A commit of its own writes some six pages for each; together they are a page for dozens.
    let pages = (frames() - before) / 4_120;
    assert!(pages < 100, "{pages} pages for 100 accounts");
}
