use account::{ApiKey, Cause, Counts, KeyId};
use store::{Change, Config, Error};

use crate::stage::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_of_one_moment_while_rows_are_written() {
    let (_folder, store) = furnished(Config::default()).await;
    let secret = ApiKey::generate().unwrap();
    apply(&store, Change::AddKey(key(&store, KeyId::from_bytes([7; 16]), "k", &secret))).await;
    settle(&store, usage(Cause::Finished, Counts::tokens(1, 0, 1))).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    let writes = async {
        for _ in 0..20 {
            let group = (0..10).map(|_| settle(&store, usage(Cause::Finished, Counts::tokens(1, 0, 1))));
            for settled in futures::future::join_all(group).await {
                settled.unwrap();
            }
        }
    };
    let (taken, ()) = tokio::join!(store.backup(copy.path()), writes);
    taken.unwrap();
    assert!(matches!(store.backup(copy.path()).await, Err(Error::Conflict { .. })), "a backup is not written over");

    let restored = open(&copy).await;
    let head = verified(&restored, ORG).await;
    assert!(head.number >= 1);
    let sums = sums(&restored).await;
    assert_eq!(sums.iter().map(|sum| sum.rows).sum::<u64>(), head.number);
    let hash = restored.pepper().hash(&secret.hash());
    assert!(restored.keys().await.unwrap().iter().any(|key| key.secret == hash), "keys work with the restored pepper");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_taken_beside_a_store_that_runs_is_brought_back_once() {
    let (folder, store) = furnished(Config::default()).await;
    settle(&store, usage(Cause::Finished, Counts::tokens(1, 0, 1))).await.unwrap();
    let [copy, data] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    assert!(matches!(store::restore(copy.path(), data.path()), Err(Error::NotFound { .. })));
    store::backup(folder.path(), copy.path()).await.unwrap();
    assert!(matches!(store::backup(data.path(), copy.path()).await, Err(Error::NotFound { .. })));
    assert!(matches!(store::restore(copy.path(), folder.path()), Err(Error::Conflict { .. })), "rows are not replaced");
    store::restore(copy.path(), data.path()).unwrap();
    let restored = open(&data).await;
    assert_eq!(verified(&restored, ORG).await, verified(&store, ORG).await);
    assert_eq!(restored.pepper().expose(), store.pepper().expose());
    assert!(matches!(store::restore(copy.path(), data.path()), Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn nothing_of_a_secret_is_in_the_data_folder() {
    let (folder, store) = furnished(Config::default()).await;
    let secret = ApiKey::parse("mw-a-marked-secret-0123456789abcdef").unwrap();
    apply(&store, Change::AddKey(key(&store, KeyId::from_bytes([7; 16]), "k", &secret))).await;
    store.close().await;
    let digest = secret.hash().to_string();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = match std::fs::read(entry.unwrap().path()) {
            Ok(bytes) => bytes,
            // The database removes its log when its last connection is gone, which may be now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => panic!("{error}"),
        };
        files += 1;
        for needle in [secret.expose().as_bytes(), digest.as_bytes()] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }
    }
    assert!(files >= 2);
}
