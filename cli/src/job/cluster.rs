//! Which cluster, who we are there, and what is asked of it.

use anyhow::{Context as _, Result};
use futures_util::Stream;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{batch::v1, core},
};
use kube::{
    Api, Client, Config, Resource,
    api::{DeleteParams, GetParams, ListParams, PostParams, Request, WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};

use super::views::{Event, Job, List, Metadata, Pod, View};
use crate::cli;

/// A cluster, and a place in it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// Where the Job is made.
    pub namespace: String,
}

type Answer<T> = Result<T, kube::Error>;

impl Cluster {
    /// The one that the flags and the environment mean. Nothing is asked of it yet.
    pub async fn of(flags: &cli::Cluster) -> Result<Self> {
        let config = config(flags).await?;
        let namespace = flags.namespace.clone();
        Ok(Self {
            namespace: namespace.unwrap_or_else(|| config.default_namespace.clone()),
            client: Client::try_from(config).context("cannot use what the kubeconfig says")?,
        })
    }

    /// Makes an object.
    pub async fn create<K>(&self, object: &K) -> Answer<Metadata>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize,
    {
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
        let request = self.of_kind::<K>().create(&PostParams::default(), body);
        let made: View<()> = self.ask(request).await?;
        Ok(made.metadata)
    }

    /// Removes a Job, and what it owns.
    pub async fn remove_job(&self, name: &str, how: &DeleteParams) -> Answer<()> {
        let request = self.of_kind::<v1::Job>().delete(name, how);
        // The Job as it was, or a word that it is gone.
        self.ask::<serde::de::IgnoredAny>(request).await.map(drop)
    }

    /// A Job.
    pub async fn job(&self, name: &str) -> Answer<Job> {
        self.ask(self.of_kind::<v1::Job>().get(name, &GetParams::default()))
            .await
    }

    /// Pods with these labels.
    pub async fn pods(&self, labels: &str) -> Answer<List<Pod>> {
        let parameters = ListParams::default().labels(labels);
        self.ask(self.of_kind::<core::v1::Pod>().list(&parameters)).await
    }

    /// Changes of pods.
    pub async fn watch_pods(
        &self,
        how: &WatchParams,
        version: &str,
    ) -> Answer<impl Stream<Item = Answer<WatchEvent<Pod>>> + use<>> {
        let request = self.of_kind::<core::v1::Pod>().watch(how, version);
        self.client
            .request_events(request.map_err(kube::Error::BuildRequest)?)
            .await
    }

    /// Warnings about an object.
    pub async fn warnings(&self, object: &str) -> Answer<List<Event>> {
        let fields = format!("involvedObject.name={object},type=Warning");
        let parameters = ListParams::default().fields(&fields);
        self.ask(self.of_kind::<core::v1::Event>().list(&parameters))
            .await
    }

    /// For logs of pods, and to attach to them.
    pub fn streams(&self) -> Api<core::v1::Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn of_kind<K: Resource<DynamicType = ()>>(&self) -> Request {
        Request::new(K::url_path(&(), Some(&self.namespace)))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: Result<hyper::http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Answer<T> {
        self.client
            .request(request.map_err(kube::Error::BuildRequest)?)
            .await
    }
}

/// The namespace, if anything says it.
pub async fn namespace(flags: &cli::Cluster) -> Result<Option<String>> {
    if flags.namespace.is_some() {
        return Ok(flags.namespace.clone());
    }
    match config(flags).await {
        Ok(config) => Ok(Some(config.default_namespace)),
        // What was named must be there.
        Err(error) if flags.kubeconfig.is_some() || flags.context.is_some() => Err(error),
        Err(_) => Ok(None),
    }
}

async fn config(flags: &cli::Cluster) -> Result<Config> {
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        ..KubeConfigOptions::default()
    };
    if let Some(file) = &flags.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(file)?;
        return Ok(Config::from_custom_kubeconfig(kubeconfig, &options).await?);
    }
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        Err(error) if flags.context.is_some() => Err(error.into()),
        // What is wrong with the kubeconfig says more than that this is no pod.
        Err(error) => Config::incluster().or(Err(error)).context(
            "there is no cluster: neither a kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config), nor is this a pod with a service account",
        ),
    }
}
