//! What a process that ended without a word left behind.

use account::{
    Cause, Counts, KeyId, Labels, Nano, OrgId, ProjectId, RequestId, Service, Settlement, Tenant, Timestamp,
};
use sqlx::Row;

use crate::{
    Error, Store, UsageRow,
    columns::{bytes, time},
};

/// Requests of one turn.
const TURN: usize = 1000;

impl Store {
    /// Ends the requests that had begun when the process before ended: nobody pays for them, and whoever asks learns why.
    /// To be called at the start, before there are others. Returns how many there were.
    pub async fn resolve_open_requests(&self, now: Timestamp) -> Result<usize, Error> {
        let mut resolved = 0;
        loop {
            let query = sqlx::query("SELECT request, org, project, key, model, admitted FROM open_requests LIMIT ?");
            let rows = query.bind(TURN as i64).fetch_all(self.readers()).await?;
            if rows.is_empty() {
                return Ok(resolved);
            }
            let mut ended = Vec::with_capacity(rows.len());
            for row in &rows {
                let tenant = Tenant {
                    org: OrgId::from_bytes(bytes(row, "org")?),
                    project: ProjectId::from_bytes(bytes(row, "project")?),
                    key: KeyId::from_bytes(bytes(row, "key")?),
                };
                let model: String = row.try_get("model")?;
                let (cause, admitted) = (Cause::Crashed, time(row, "admitted")?);
                ended.push(UsageRow {
                    request: RequestId::from_bytes(bytes(row, "request")?),
                    tenant,
                    model: model.into(),
                    service: Service::Standard,
                    price: None,
                    settlement: Settlement { cause, admitted, counts: Counts::default(), charge: Nano::ZERO },
                    ended: now,
                    route: None,
                    queued: None,
                    first_output: None,
                    labels: Labels::default(),
                });
            }
            resolved += ended.len();
            self.write(move |connection| {
                Box::pin(async move {
                    let rows: Vec<&UsageRow> = ended.iter().collect();
                    // Nothing is charged, so nothing is added to what was spent.
                    crate::settlement::settle(&mut *connection, &rows, &Default::default(), &mut Default::default())
                        .await?;
                    // A settlement that came before its beginning was noted leaves one behind.
                    for row in rows {
                        let query = sqlx::query("DELETE FROM open_requests WHERE org = ? AND request = ?");
                        let query = query.bind(&row.tenant.org.as_bytes()[..]).bind(&row.request.as_bytes()[..]);
                        query.execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        }
    }
}
