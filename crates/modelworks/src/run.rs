//! `run`: a conversation in the terminal, without a server.

use std::{
    io::{IsTerminal, Read, Write},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use inference::{Backend, ChatInput, Event, Input, Message, Request, Role};
use rustyline::{DefaultEditor, error::ReadlineError};

use crate::{cli::RunArgs, explain::explain};

/// What a conversation begins with.
const KEYS: &str = "Ctrl-C stops an answer, /clear forgets the conversation, Ctrl-D or /bye leaves.\n";

/// The temperature where neither the person nor the model's authors name one: at 1, which is neutral, small models ramble.
const CALM: f32 = 0.5;

/// Answers one prompt or holds a conversation, with the model at `path`.
pub async fn run(mut args: RunArgs, path: PathBuf, options: local::Options) -> Result<()> {
    let prompt = match args.prompt.clone() {
        Some(prompt) => Some(prompt),
        None if std::io::stdin().is_terminal() => None,
        // Input that is not a terminal is the prompt.
        None => {
            let mut piped = String::new();
            std::io::stdin().read_to_string(&mut piped).context("reading the prompt from standard input")?;
            Some(piped)
        }
    };
    if prompt.as_ref().is_some_and(|prompt| prompt.trim().is_empty()) {
        bail!("the prompt is empty; give one, or start without to chat: modelworks run {}", args.name);
    }
    let loaded = tokio::task::spawn_blocking(move || local::load(&path, &options, &|_, _| {})).await??;
    let local::Loaded { backend, description, .. } = loaded;
    if *description.defaults == Default::default() {
        args.temperature.get_or_insert(CALM);
    }
    match prompt {
        Some(prompt) => {
            let input = if backend.capabilities().chat { chat(vec![user(prompt)]) } else { Input::Text(prompt) };
            if answer(&backend, input, &args).await?.interrupted {
                bail!("interrupted");
            }
            Ok(())
        }
        None => converse(&backend, &args).await,
    }
}

async fn converse(backend: &Arc<dyn Backend>, args: &RunArgs) -> Result<()> {
    if !backend.capabilities().chat {
        bail!("{} has no chat template; give a prompt to complete: modelworks run {} \"…\"", args.name, args.name);
    }
    say(KEYS)?;
    let mut editor = DefaultEditor::new().context("reading from the terminal")?;
    let mut messages = Vec::new();
    loop {
        let line;
        (editor, line) = read_line(editor).await?;
        let Some(line) = line else { break };
        match line.trim() {
            "" => continue,
            "/bye" | "/exit" => break,
            "/clear" => {
                messages.clear();
                continue;
            }
            command if command.starts_with('/') && !command.contains(char::is_whitespace) => {
                say(KEYS)?;
                continue;
            }
            _ => messages.push(user(line.trim_end().to_owned())),
        }
        match answer(backend, chat(messages.clone()), args).await {
            Ok(answered) => messages.push(answered.message),
            Err(error) => {
                messages.pop();
                say(&format!("{}\n", explain(&error)))?;
            }
        }
    }
    Ok(())
}

fn user(content: String) -> Message {
    Message::new(Role::User, content)
}

fn chat(messages: Vec<Message>) -> Input {
    Input::Chat(ChatInput { messages, ..ChatInput::default() })
}

/// What the model thought and said, and whether it was cut short.
struct Answer {
    message: Message,
    interrupted: bool,
}

/// Streams one answer to the terminal. Ctrl-C drops the stream, which ends the answer and nothing else.
async fn answer(backend: &Arc<dyn Backend>, input: Input, args: &RunArgs) -> Result<Answer> {
    let mut request = Request::new(input);
    request.sampling.temperature = args.temperature;
    request.sampling.seed = args.seed;
    let prepared = backend.prepare(request.clone()).await?;
    let left = backend.capabilities().context_length - prepared.prompt_tokens();
    request.max_tokens = Some(args.max_tokens.min(u32::try_from(left).unwrap_or(u32::MAX)));
    let mut events = backend.prepare(request).await?.run()?;
    let mut message = Message::new(Role::Assistant, "");
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            interrupt = tokio::signal::ctrl_c() => {
                interrupt.context("listening for Ctrl-C")?;
                say("\n")?;
                return Ok(Answer { message, interrupted: true });
            }
        };
        match event {
            Some(Event::Text { text, .. }) => {
                if message.content.is_empty() && message.reasoning.is_some() && !text.is_empty() {
                    say("\n\n")?;
                }
                say(&text)?;
                message.content.push_str(&text);
            }
            Some(Event::Reasoning { text, .. }) => {
                say(&text)?;
                message.reasoning.get_or_insert_default().push_str(&text);
            }
            // No tools were given, so none is called.
            Some(Event::Started { .. } | Event::ToolCall { .. } | Event::Arguments { .. } | Event::Finished { .. }) => {
            }
            Some(Event::Done(_)) | None => break,
            Some(Event::Failed { error, .. }) => return Err(error.into()),
        }
    }
    say("\n")?;
    Ok(Answer { message, interrupted: false })
}

/// Writes to standard output at once.
pub fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("writing to standard output")
}

/// The next line that the person types, with the arrow keys to edit it and to look back; `None` at the end of input.
/// Ctrl-C drops what was typed.
async fn read_line(mut editor: DefaultEditor) -> Result<(DefaultEditor, Option<String>)> {
    let read = tokio::task::spawn_blocking(move || {
        loop {
            match editor.readline("> ") {
                Ok(line) => {
                    // Only a history that was given a bound of zero refuses.
                    let _kept = editor.add_history_entry(&line);
                    return Ok((editor, Some(line)));
                }
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return Ok((editor, None)),
                Err(error) => return Err(error),
            }
        }
    });
    read.await?.context("reading from the terminal")
}
