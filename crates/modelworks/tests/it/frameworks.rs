//! LangChain and LiteLLM, as users install them.

use crate::{
    embeddings::{EMBEDDER, folder, start},
    python,
    server::{KEY, MODEL},
};

/// What the test installs. Pinned, so that a test fails for a change of ours alone.
const PACKAGES: &str = "langchain-openai==1.7.4 langchain-anthropic==1.7.10 langchain-ollama==1.1.0 litellm==1.110.2 openai==3.57.0 anthropic==2.14.0";

#[tokio::test(flavor = "multi_thread")]
async fn langchain_and_litellm_work_unchanged() {
    let data = folder();
    let server = start(data.path()).await;
    let variables = vec![
        ("BASE", server.base.clone()),
        ("KEY", KEY.to_owned()),
        ("MODEL", MODEL.to_owned()),
        ("EMBEDDER", EMBEDDER.to_owned()),
        // Its list of prices, of which it would fetch the latest.
        ("LITELLM_LOCAL_MODEL_COST_MAP", "True".to_owned()),
    ];
    python::drive(PACKAGES, "frameworks.py", variables).await;
    server.wait_until_idle().await;
}
