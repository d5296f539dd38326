// Creates the user of the services at MongoDB's first start. It may write both databases and
// initiate the replica set.
db.getSiblingDB('admin').createUser({
  user: 'bakehouse',
  pwd: process.env.BAKEHOUSE_PASSWORD,
  roles: [
    { role: 'readWrite', db: 'source' },
    { role: 'readWrite', db: 'presentation' },
    { role: 'clusterManager', db: 'admin' },
  ],
});
