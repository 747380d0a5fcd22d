<?php

// Finds the PHP client's classes as Composer would.

spl_autoload_register(static function (string $class): void {
    $path = str_replace('\\', '/', substr($class, strlen('Nivisco\\')));
    require __DIR__ . "/../../clients/php/src/$path.php";
});
