exports.say = () => console.log("hello");
